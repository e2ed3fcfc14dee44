"""Seconds from the first update to the end of a default profile.

    python tests/benchmarks/profile_duration.py [--rounds 1] [--updates 0.005 0.05 0.5 2]

The script says itself when its first update has ended; the profile has ended when the command has. What stands before
the first update is the script's, and is not counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from _common import SCRIPTS, machine, options, publish, say, spread, table

SCRIPT = SCRIPTS / "fixed_updates.py"
UPDATES_S = (0.005, 0.05, 0.5, 2.0)
LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Profiled:
    seconds: float
    """From the first update to the end of the command."""
    counted: int
    """Updates that the report's step times stand on."""
    seen_s: float | None
    """The update's length by the report."""
    what_ifs: int
    overhead_fraction: float | None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--updates", type=float, nargs="+", default=UPDATES_S, metavar="SECONDS")
    arguments = parser.parse_args()
    before = machine()
    rows = []
    for update_s in arguments.updates:
        found = []
        for _ in range(arguments.rounds):
            found.append(profile(update_s))
            say(f"{update_s:g} s: {found[-1].seconds:.1f} s, {found[-1].counted} updates counted")
        last = found[-1]
        rows.append(
            [
                f"{update_s:g}",
                "?" if last.seen_s is None else f"{last.seen_s:.4g}",
                spread([each.seconds for each in found], "{:.1f}"),
                last.counted,
                last.what_ifs,
                "?" if last.overhead_fraction is None else f"{last.overhead_fraction:+.1%}",
            ]
        )
    header = ("update, s", "as measured, s", "profile, s", "updates counted", "what-ifs", "overhead told")
    parts = [
        f"Default `advisor profile`, {arguments.rounds} of each, from the first update to the end of the command.",
        table(header, rows),
    ]
    publish("profile_duration", "How long a profile takes", before, parts, keep=not arguments.no_result)


def profile(update_s: float) -> Profiled:
    with tempfile.TemporaryDirectory(prefix="advisor-duration-") as name:
        folder = Path(name)
        (folder / "project").mkdir()
        words = [sys.executable, "-m", "advisor", "profile", "--json", "--runs", str(folder / "runs"), str(SCRIPT)]
        done = subprocess.run(
            [*words, f"--update={update_s}"],
            cwd=folder / "project",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        ended = time.time()
        if done.returncode:
            raise SystemExit(f"advisor profile ended with {done.returncode}:\n{done.stderr[-2000:]}")
        document = json.loads(done.stdout)
        steps = document["steps"] or {}
        return Profiled(
            seconds=ended - first_update(folder / "runs"),
            counted=steps.get("updates", 0),
            seen_s=steps.get("median_s"),
            what_ifs=len(document["what_ifs"]),
            overhead_fraction=document["overhead_fraction"],
        )


def first_update(runs: Path) -> float:
    """When it ended, by the wall clock; read from the script's kept output."""
    for log in sorted(runs.rglob("life-0.stdout")):
        found = re.search(r"first update ([\d.]+)", log.read_text(errors="replace"))
        if found:
            return float(found[1])
    raise SystemExit(f"the script has not said when its first update ended: nothing in {runs}")


if __name__ == "__main__":
    main()

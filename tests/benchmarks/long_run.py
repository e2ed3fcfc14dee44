"""Memory of a long training under `advisor run`, with settings whose hooks act in every update.

    python tests/benchmarks/long_run.py [--updates 1000000]

The training reads its own resident memory fifty times. The first fifth is left out: caches fill there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import SCRIPTS, machine, options, publish, say, table

SCRIPT = SCRIPTS / "endless_tiny.py"
SETTINGS = {"gc": "between_updates", "fused_optimizer": "foreach"}
SETTLED = 0.2
"""Share of the updates after which memory has to be flat."""
MOST_MIB = 2.0
MIB = 2**20


def main() -> int:
    parser = options(__doc__)
    parser.add_argument("--updates", type=int, default=1_000_000, help="updates of the training")
    arguments = parser.parse_args()
    before = machine()
    seconds, resident = train(arguments.updates)
    settled = resident[int(SETTLED * len(resident)) :]
    grown_mib = (max(settled) - settled[0]) / MIB
    say(f"{arguments.updates:,} updates in {seconds:.0f} s, {grown_mib:.2f} MiB more")
    header = ("updates", "seconds", f"MiB after {SETTLED:.0%}", "MiB at the end", "most MiB above that")
    ends = (f"{settled[0] / MIB:.1f}", f"{settled[-1] / MIB:.1f}", f"{grown_mib:.2f}")
    settings = ", ".join(f"{name}={value}" for name, value in SETTINGS.items())
    parts = [
        f"Resident memory of a training under `advisor run`, which sets {settings}:",
        table(header, [[f"{arguments.updates:,}", f"{seconds:.0f}", *ends]]),
    ]
    publish("long_run", "Memory of a long training", before, parts, keep=not arguments.no_result)
    return int(grown_mib > MOST_MIB)


def train(updates: int) -> tuple[float, list[int]]:
    """Seconds of the training, and its resident bytes."""
    with tempfile.TemporaryDirectory(prefix="advisor-long-") as name:
        folder = Path(name)
        lines = [f"  {knob}: {value}" for knob, value in SETTINGS.items()]
        (folder / "advisor.yaml").write_text("\n".join(["version: 1", "settings:", *lines, ""]))
        start = ["-m", "advisor", "run", "--config", "advisor.yaml"]
        begin_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, *start, str(SCRIPT), str(updates), str(folder / "resident")],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - begin_s
        if done.returncode:
            raise SystemExit(f"the training ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return seconds, [int(line) for line in (folder / "resident").read_text().split()]


if __name__ == "__main__":
    sys.exit(main())

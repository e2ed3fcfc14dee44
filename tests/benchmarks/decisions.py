"""Does `advisor tune SCRIPT`, without an option, end in the right decision?

    python tests/benchmarks/decisions.py                   all scripts, one after the other (an hour and a half)
    python tests/benchmarks/decisions.py tabular healthy   those whose name contains one of the words

Eleven scripts have a gain of 1.3 and more that settings can reach: each must end `faster`. Twenty searches of healthy
scripts must not. Each is a fresh command in a folder of its own; its time is that of the whole command. Ctrl-C keeps
what there is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _common import HERE, SCRIPTS, collect, machine, options, publish, say, table

WORKLOADS = HERE.parent / "workloads"
GAINS = (
    WORKLOADS / "tabular_json_rows.py",
    WORKLOADS / "remote_patches.py",
    WORKLOADS / "short_epochs.py",
    WORKLOADS / "sixteen_workers.py",
    WORKLOADS / "two_tower_fp32.py",
    WORKLOADS / "one_thread.py",
    WORKLOADS / "too_many_threads.py",
    WORKLOADS / "per_tensor_optimizer.py",
    SCRIPTS / "second_limit" / "waits_then_optimizer.py",
    SCRIPTS / "second_limit" / "waits_then_computes.py",
    WORKLOADS / "healthy_lbfgs.py",
)
"""Scripts whose labels, or whose tables in results/oracle.md, show such a gain by settings that keep the training. The
last has no avoidable cost, but torch.compile, written by hand, gave 1.66, 1.58 and 1.40 times its speed."""
HEALTHY_SEARCHES = 20
MOST_S = 1500


@dataclass(frozen=True, kw_only=True)
class Case:
    script: Path
    number: int = 1
    """Number of the search: healthy scripts are searched twice."""
    gains: bool

    @property
    def name(self) -> str:
        return self.script.stem if self.number == 1 else f"{self.script.stem} ({self.number})"


@dataclass(frozen=True, kw_only=True)
class Row:
    case: Case
    status: str = ""
    settings: str = ""
    speedup: str = ""
    seconds: float = 0.0
    failure: str | None = None

    @property
    def right(self) -> bool:
        return self.failure is None and (self.status == "faster") == self.case.gains


def cases() -> list[Case]:
    healthy = sorted(set(WORKLOADS.glob("healthy_*.py")) - set(GAINS))
    twice = [Case(script=script, number=number, gains=False) for number in (1, 2) for script in healthy]
    return [*(Case(script=script, gains=True) for script in GAINS), *twice[:HEALTHY_SEARCHES]]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all are run")
    parser.add_argument("--keep", action="store_true", help="keep the result although not all are run; it says so")
    arguments = parser.parse_args()
    before = machine()
    every = cases()
    wanted = [case for case in every if not arguments.words or any(word in case.name for word in arguments.words)]
    rows, interrupted = collect(wanted, measure, lambda case, why: Row(case=case, failure=why))
    keep = not arguments.no_result and (len(wanted) == len(every) or arguments.keep)
    publish("decisions", "Decisions without options", before, parts(rows, interrupted, len(every)), keep=keep)


def measure(case: Case) -> Row:
    with tempfile.TemporaryDirectory(prefix="advisor-decisions-") as folder:
        words = [sys.executable, "-m", "advisor", "tune", "--json", "--runs", f"{folder}/runs", str(case.script)]
        begin_s = time.monotonic()
        ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=MOST_S, check=False)
        seconds = time.monotonic() - begin_s
    try:
        found: dict[str, Any] = json.loads(ended.stdout)
    except json.JSONDecodeError:
        raise SystemExit(f"exit code {ended.returncode}: {ended.stderr.strip()[-200:]}") from None
    verdict = found["verdict"]
    low, high = verdict["low"], verdict["high"]
    interval = f" ({low:.2f} … {high:.2f})" if high is not None and verdict["rounds"] else ""
    row = Row(
        case=case,
        status=verdict["status"],
        settings=", ".join(f"{name}={value}" for name, value in found["config"].items()) or "–",
        speedup=f"{verdict['speedup']:.2f}{interval}",
        seconds=seconds,
        failure=found["failure"]["message"] if found["failure"] else None,
    )
    say(f"{case.name}: {row.status} {row.speedup} {row.settings}, {seconds:.0f} s")
    return row


def parts(rows: Sequence[Row], interrupted: str | None, every: int) -> list[str]:
    gains = [row for row in rows if row.case.gains]
    healthy = [row for row in rows if not row.case.gains]
    some = "" if len(rows) == every else f"{len(rows)} of {every} searches were run. "
    summary = (
        f"{some}Of {len(gains)} scripts with a gain of 1.3 and more, {sum(row.right for row in gains)} end `faster`; of"
        f" {len(healthy)} searches of healthy scripts, {sum(not row.right for row in healthy)} do."
    )
    times = [row.seconds for row in rows if row.failure is None]
    duration = f"Whole command: median {statistics.median(times):.0f} s, longest {max(times):.0f} s." if times else ""
    header = ("script", "should end", "ended", "speed-up", "settings", "seconds")
    return [*([interrupted] if interrupted else []), summary, duration, table(header, [cells(row) for row in rows])]


def cells(row: Row) -> list[str]:
    wanted = "faster" if row.case.gains else "not faster"
    if row.failure is not None:
        return [row.case.name, wanted, f"FAILED: {row.failure}", "–", "–", "–"]
    return [row.case.name, wanted, row.status, row.speedup, row.settings, f"{row.seconds:.0f}"]


if __name__ == "__main__":
    main()

"""What the agent adds to an update.

    python tests/benchmarks/overhead.py [--pairs 7] [--seconds 6] [--only "1 ms"]

First within processes: the hooks are put over a running loop and taken away again, many times, and neighbours are
compared. Then between processes, where a process's luck (where its memory lies) is many times what is looked for: the
same script runs bare, with the agent's hooks, and with hooks and sampler, in fresh processes in turn; the order is
reversed from round to round. It counts its updates itself, in the same way each time, so that the only difference is
the agent. The first seconds of a process are not counted.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import _live
from _common import SCRIPTS, machine, options, publish, say, spread, table

from advisor import stats, wire
from advisor.analysis.counted import SAMPLER_HZ

SCRIPT = SCRIPTS / "linear_stack.py"
TOGGLED = SCRIPTS / "toggled_stack.py"
TOGGLED_PROCESSES = 3
TOGGLED_PAIRS = 20
FOREVER = 10**9
"""The window is to outlast the script."""
LIMIT_S = 180
QUIET_PERCENT = 5
"""The percentile of updates that nobody else on the machine disturbed, also where it is busy."""


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    update_s: float
    width: int
    workers: int
    threads: int | None = None
    """None is torch's own choice; operations as small as those of a 1 ms update are not split among threads anyway."""


CASES = (
    Case(name="1 ms, 0 workers", update_s=0.001, width=64, workers=0, threads=1),
    Case(name="1 ms, 2 workers", update_s=0.001, width=64, workers=2, threads=1),
    Case(name="10 ms, 0 workers", update_s=0.010, width=256, workers=0),
    Case(name="10 ms, 2 workers", update_s=0.010, width=256, workers=2),
    Case(name="30 ms, 0 workers", update_s=0.030, width=256, workers=0),
)


@dataclass(frozen=True, kw_only=True)
class Round:
    """Seconds an update, of three processes that ran in turn: means, and medians."""

    bare: tuple[float, float]
    hooks: tuple[float, float]
    sampler: tuple[float, float]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="rounds of three processes each")
    parser.add_argument("--seconds", type=float, default=6.0, help="counted in each process")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    before = machine()
    cases = [case for case in CASES if arguments.only in case.name]
    within, means, medians = [], [], []
    for case in cases:
        within_case, rounds = measure(case, arguments)
        within.append(within_case)
        means.append(row(case, rounds, 0))
        medians.append(row(case, rounds, 1))
    header = (
        "case",
        "bare update, ms",
        "hooks, %",
        "hooks, µs",
        f"with sampler at {SAMPLER_HZ:.0f} Hz, %",
        "sampler, µs",
    )
    parts = [
        f"Within a process, hooks on and off in turn: medians of {TOGGLED_PAIRS} pairs of neighbours, in each of"
        f" {TOGGLED_PROCESSES} fresh processes (median, lowest … highest process).",
        table(("case", "update without, ms", "hooks, %", "hooks, µs"), within),
        f"Between processes: {arguments.pairs} rounds of three fresh ones, {arguments.seconds:g} s counted in each."
        " Compared with the bare process of the same round: median (lowest … highest) over the rounds. Negative values"
        " are noise.",
        "By the mean update, which is what a training pays:",
        table(header, means),
        "By the median update of each process, which others on the machine disturb less:",
        table(header, medians),
    ]
    publish("overhead", "What the agent adds to an update", before, parts, keep=not arguments.no_result)


def measure(case: Case, arguments: Namespace) -> tuple[list[str], list[Round]]:
    """The row of the table within processes, and the rounds of processes."""
    with tempfile.TemporaryDirectory(prefix="advisor-overhead-") as name:
        folder = Path(name)
        batch = calibrated(case.update_s, case.width, case.threads)
        toggled = within_processes(case, [*shape(case, batch), f"--workers={case.workers}"], folder)
        say(f"{case.name}: {', '.join(toggled[1:])}")
        args = [*shape(case, batch), f"--workers={case.workers}", f"--seconds={arguments.seconds}"]
        ways = {
            "bare": lambda: run_bare(args, folder),
            "hooks": lambda: run_with_agent(args, folder, 0.0),
            "sampler": lambda: run_with_agent(args, folder, SAMPLER_HZ),
        }
        rounds = []
        for number in range(arguments.pairs):
            order = list(ways) if number % 2 == 0 else list(reversed(ways))
            found = {way: summary(ways[way]()) for way in order}
            rounds.append(Round(**found))
            say(f"{case.name}, batch {batch}: " + ", ".join(f"{way} {found[way][0] * 1e3:.3f} ms" for way in ways))
        return toggled, rounds


def within_processes(case: Case, args: list[str], folder: Path) -> list[str]:
    off_s, added_s, shares = [], [], []
    for _ in range(TOGGLED_PROCESSES):
        out = folder / "pairs.json"
        words = [sys.executable, str(TOGGLED), str(out), f"--pairs={TOGGLED_PAIRS}", *args]
        subprocess.run(words, check=True, timeout=LIMIT_S, cwd=folder)
        pairs = json.loads(out.read_text())
        off_s.append(statistics.median(off for _, off in pairs))
        added_s.append(statistics.median(on - off for on, off in pairs))
        shares.append(statistics.median(on / off - 1 for on, off in pairs))
    return [
        case.name,
        spread(off_s, "{:.3f}", scale=1e3),
        spread(shares, "{:+.2f}", scale=100),
        spread(added_s, "{:+.1f}", scale=1e6),
    ]


def row(case: Case, rounds: list[Round], which: int) -> list[str]:
    bare = [found.bare[which] for found in rounds]
    cells = [case.name, spread(bare, "{:.3f}", scale=1e3)]
    for way in ("hooks", "sampler"):
        values = [getattr(found, way)[which] for found in rounds]
        cells.append(spread([value / base - 1 for value, base in zip(values, bare, strict=True)], "{:+.2f}", scale=100))
        cells.append(spread([value - base for value, base in zip(values, bare, strict=True)], "{:+.1f}", scale=1e6))
    return cells


def summary(times: list[float]) -> tuple[float, float]:
    return statistics.fmean(times), statistics.median(times)


@cache
def calibrated(update_s: float, width: int, threads: int | None) -> int:
    """`calibrate` without workers: they change what is waited for, and not what an update is."""
    with tempfile.TemporaryDirectory(prefix="advisor-overhead-") as name:
        return calibrate(Case(name="", update_s=update_s, width=width, workers=0, threads=threads), Path(name))


def calibrate(case: Case, folder: Path) -> int:
    """The batch size whose update takes about as long as the case says, by growing it until it is too long."""
    batch, known = 8, (8, 0.0)
    while batch <= 1 << 16:
        times = run_bare([*shape(case, batch), "--warm-up=0.5", "--seconds=0.5"], folder)
        update_s = stats.percentile(times, QUIET_PERCENT)
        if update_s >= case.update_s:
            smaller, smaller_s = known
            part = (case.update_s - smaller_s) / (update_s - smaller_s)
            return max(1, round(smaller + part * (batch - smaller))) if smaller_s else batch
        known = (batch, update_s)
        batch *= 2
    return known[0]


def shape(case: Case, batch: int) -> list[str]:
    threads = [] if case.threads is None else [f"--threads={case.threads}"]
    return [f"--batch={batch}", f"--width={case.width}", *threads]


def run_bare(args: list[str], folder: Path) -> list[float]:
    out = folder / "times.json"
    out.unlink(missing_ok=True)
    subprocess.run([sys.executable, str(SCRIPT), str(out), *args], check=True, timeout=LIMIT_S, cwd=folder)
    return read(out)


def run_with_agent(args: list[str], folder: Path, sampler_hz: float) -> list[float]:
    """One life with one window that outlasts the script, which ends by itself as it does when it is alone."""
    out = folder / "times.json"
    out.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=folder) as run:
        result = _live.run(SCRIPT, [str(out), *args], [one_window(sampler_hz)], folder=Path(run), start_limit_s=LIMIT_S)
    failure = result.script_runs[-1].failure
    if failure is not None:
        raise SystemExit(f"{SCRIPT.name}: {failure.message}\n{failure.stderr_tail}")
    return read(out)


def one_window(sampler_hz: float) -> wire.Window:
    return wire.Window(
        id="long", min_updates=FOREVER, max_updates=FOREVER, min_s=FOREVER, max_s=FOREVER, sampler_hz=sampler_hz
    )


def read(out: Path) -> list[float]:
    times: list[float] = json.loads(out.read_text())
    return times


if __name__ == "__main__":
    main()

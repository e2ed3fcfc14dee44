"""What `advisor run` costs: settings that it applies, against the same settings written into the script by hand.

    python tests/benchmarks/run_overhead.py [--pairs 4] [--seconds 3] [--only "1 ms"]

The same script runs with a setting written by hand, and without it under `advisor run` with that setting, in fresh
processes in turn; the order is reversed from round to round. Both then do the same work, so that the only difference
is what advisor leaves in the process. The script counts its updates itself; the first seconds are not counted.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from _common import collect, complaints, machine, options, publish, say, spread, table
from overhead import LIMIT_S, SCRIPT, Case, calibrate, read, run_bare, shape

PROMISE = 0.01
"""Of an update, that a training pays at most for being started by `advisor run`."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """One setting, in both ways."""

    name: str
    settings: str
    by_hand: tuple[str, ...]


WAYS = (
    Way(name="threads (no hook stays)", settings="threads: 1", by_hand=()),
    Way(
        name="num_workers (hooks of loader and model)",
        settings="num_workers: 2, persistent_workers: true",
        by_hand=("--workers=2",),
    ),
    Way(name="precision (all hooks)", settings="precision: bf16", by_hand=("--bf16",)),
)
CASES = (
    Case(name="1 ms", update_s=0.001, width=64, workers=0, threads=1),
    Case(name="10 ms", update_s=0.010, width=256, workers=0, threads=1),
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, default=4, help="rounds of two processes each")
    parser.add_argument("--seconds", type=float, default=3.0, help="counted in each process")
    parser.add_argument("--warm-up", type=float, default=1.5, help="seconds before them, that are not")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    before = machine()
    batches: dict[str, int] = {}
    rows, interrupted = collect(
        [(case, way) for case in CASES if arguments.only in case.name for way in WAYS],
        lambda both: measure(*both, batches, arguments),
        lambda both, why: [both[0].name, both[1].name, f"FAILED: {why}", "–", "–", "–"],
    )
    header = ("update", "setting", "by hand, ms", "advisor run, %", "median update, %", f"at most {PROMISE:.0%}")
    about = (
        f"{arguments.pairs} rounds of two fresh processes, {arguments.seconds:g} s counted in each, compared with the "
        "process of the same round in which the setting was written by hand: by the mean update, which is what a "
        "training pays, and by the median one. Median (lowest … highest) over the rounds; negative values are noise."
    )
    publish("run_overhead", "What advisor run costs", before,
            [*([interrupted] if interrupted else []), about, table(header, rows)],
            keep=not arguments.no_result and not arguments.only)  # fmt: skip


def measure(case: Case, way: Way, batches: dict[str, int], arguments: Namespace) -> list[str]:
    """`batches` keeps what was found to make an update as long as the case says."""
    with tempfile.TemporaryDirectory(prefix="advisor-run-overhead-") as name:
        folder = Path(name)
        if case.name not in batches:
            batches[case.name] = calibrate(case, folder)
        args = [
            *shape(case, batches[case.name]),
            f"--seconds={arguments.seconds}",
            f"--warm-up={arguments.warm_up}",
        ]
        return row(case, way, [one_round(way, args, folder, number) for number in range(arguments.pairs)])


def one_round(way: Way, args: list[str], folder: Path, number: int) -> tuple[list[float], list[float]]:
    """Times of updates by hand, and under `advisor run`."""
    found = {}
    for who in ("hand", "run") if number % 2 == 0 else ("run", "hand"):
        found[who] = run_bare([*args, *way.by_hand], folder) if who == "hand" else run_advised(way, args, folder)
    means = {who: statistics.fmean(times) * 1e3 for who, times in found.items()}
    say(f"{way.name}: by hand {means['hand']:.3f} ms, advisor run {means['run']:.3f} ms")
    return found["hand"], found["run"]


def row(case: Case, way: Way, rounds: list[tuple[list[float], list[float]]]) -> list[str]:
    means = [statistics.fmean(run) / statistics.fmean(hand) - 1 for hand, run in rounds]
    medians = [statistics.median(run) / statistics.median(hand) - 1 for hand, run in rounds]
    return [
        case.name,
        way.name,
        spread([statistics.fmean(hand) for hand, _run in rounds], "{:.3f}", scale=1e3),
        spread(means, "{:+.2f}", scale=100),
        spread(medians, "{:+.2f}", scale=100),
        "yes" if statistics.median(means) <= PROMISE else "no",
    ]


def run_advised(way: Way, args: list[str], folder: Path) -> list[float]:
    """A fallback is told on stderr: what it measured would be the script as written."""
    out, config = folder / "times.json", folder / "advisor.yaml"
    out.unlink(missing_ok=True)
    config.write_text(f"version: 1\nsettings: {{{way.settings}}}\n")
    done = subprocess.run(
        [sys.executable, "-m", "advisor", "run", "--config", str(config), str(SCRIPT), str(out), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        cwd=folder,
    )
    if done.returncode or complaints(done.stderr):
        raise SystemExit(f"{way.name}: exit code {done.returncode}\n{done.stderr}")
    return read(out)


if __name__ == "__main__":
    main()

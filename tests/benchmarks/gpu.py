"""How fast advisor's settings are on a GPU: beside the script as written, and beside what an expert writes by hand.

    python tests/benchmarks/gpu.py                       everything, in at most nine minutes
    python tests/benchmarks/gpu.py --only resnet50 --only hooks
    python tests/benchmarks/gpu.py --dry-run             small sizes on the CPU: does everything work?

Three parts. The scripts as written prepare themselves side by side and are then counted one at a time, with the
device's share of busy time by torch.profiler. `advisor tune` has each script in turn. The scripts by hand and those
under `advisor run` with the settings of tune prepare themselves side by side, and are counted in turns. Each figure is
in the table at once; a run that is cut keeps what it has. No network is needed.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from _common import RESULTS, machine, one_line, options, say, stoppable
from _gpu_plan import DRY, H100, Plan, plan
from _gpu_stages import Stages
from _gpu_table import Board, HooksRow, Row
from _gpu_workloads import HOOKS, NAMES, UPDATE_S, WORKLOADS, Scale, chosen, device

from advisor.errors import INTERRUPTIONS, Terminated

DEFAULT_S = 530.0
"""With what it takes to begin and to end, nine minutes."""
OVER_S = 2.0
"""After which what still runs is ended, though each part has a limit of its own."""
DRY_S = 240.0
VERSIONS = ("torch", "torchvision", "transformers", "accelerate", "timm")


def main() -> None:
    arguments = parse()
    begin_s = time.monotonic()
    names = chosen(arguments.only)
    costs = DRY if arguments.dry_run else H100
    seconds = arguments.seconds or (DRY_S if arguments.dry_run else DEFAULT_S)
    wanted = [workload for workload in WORKLOADS if workload.name in names]
    able = [workload.name for workload in wanted if not workload.lacks]
    images = [workload.name for workload in WORKLOADS if workload.needs_images]
    planned = plan(seconds, able, costs, hooks=HOOKS in names, images=images)
    facts, memory_gib = device()
    if memory_gib is None and not arguments.dry_run:
        raise SystemExit("gpu.py: no NVIDIA GPU is here; --dry-run tries everything on the CPU")
    board = Board(
        about={**machine(), **facts, "packages": versions()},
        rows={workload.name: Row(title=workload.title) for workload in wanted},
        hooks=[HooksRow(aimed_s=aimed_s) for aimed_s in UPDATE_S] if HOOKS in names else [],
        file=file_of(arguments, names),
    )
    tell(planned, seconds)
    if arguments.dry_run:
        board.notes.append("a dry run: small sizes on the CPU, whose figures say only that everything works")
    with tempfile.TemporaryDirectory(prefix="advisor-gpu-", ignore_cleanup_errors=True) as place:
        stages = Stages(
            folder=Path(place), plan=planned, costs=costs, board=board, scale=Scale(small=arguments.dry_run),
            memory_gib=None if arguments.dry_run else memory_gib, until_s=begin_s + seconds,
            verify=arguments.verify, kept=arguments.keep,
        )  # fmt: skip
        try:
            run(stages, board, begin_s)
        finally:
            print("\n" + board.text())


def run(stages: Stages, board: Board, begin_s: float) -> None:
    """Run the stages; whatever ends them, the time at last, what they found is kept."""
    stoppable()
    signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_REAL, max(OVER_S, stages.until_s + OVER_S - time.monotonic()))
    try:
        for stage in (stages.baseline, stages.searches, stages.side_by_side):
            stage()
    except INTERRUPTIONS:
        board.note(f"interrupted after {time.monotonic() - begin_s:.0f} s")
    except Exception as error:
        board.note(f"FAILED: {one_line(error)}")
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        stages.end()
    board.note(f"the whole took {time.monotonic() - begin_s:.0f} s")


def ended(*_: Any) -> None:
    """Leave what runs, as Ctrl-C does: the time is up."""
    raise Terminated


def parse() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help=f"part of {', '.join(NAMES)}")
    parser.add_argument("--seconds", type=float, help=f"for all; {DEFAULT_S:g}, and {DRY_S:g} for a dry run")
    parser.add_argument("--dry-run", action="store_true", help="small sizes on the CPU; results/ stays as it is")
    parser.add_argument("--verify", action="store_true", help="tune proves its pick, too; here the third part does")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the table goes there, not into results/")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the runs of tune there, a folder for each")
    return parser.parse_args()


def file_of(arguments: argparse.Namespace, names: tuple[str, ...]) -> Path | None:
    """Choose where the table is kept: in results/ only where all was asked for."""
    output: Path | None = arguments.output
    if output or arguments.no_result or arguments.dry_run or names != NAMES:
        return output
    return RESULTS / "gpu.md"


def tell(planned: Plan, seconds: float) -> None:
    say(f"planned: {planned.total_s:.0f} of {seconds:.0f} s")
    for part in planned.parts:
        say(f"  {part.what}: {part.seconds:.0f} s")


def versions() -> str:
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


if __name__ == "__main__":
    main()

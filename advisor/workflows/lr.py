"""Range test of the learning rate; reached through `advisor.api`."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import wire
from ..durations import seconds_of
from ..errors import InterruptedByUserError
from ..progress import SILENT, Progress
from ..spelling import parameter
from ..types import Failure, RangeTest, RateSweep
from .redacted import without_secrets
from .shown import ShownRangeTest

if TYPE_CHECKING:
    from ..runtime import Session, SessionResult
    from ..runtime.session import Planner
    from ..target.function import Trainable
    from ..types import Command

BUDGET = "5m"
MOST_UPDATES = 200
"""Updates that the command takes of the script, all in all."""
FIRST = "before"
FIRST_UPDATES = (3, 4)
"""Updates before the test, for what feeds the training to be known, and those that are counted of them."""
TEST = "range test"
LOW, HIGH = 1e-2, 1e4
"""Ends of the first sweep, in multiples of the script's rate; it ends where the loss diverges."""


def lr(
    script: Trainable,
    args: Sequence[str] = (),
    *,
    budget: str | float = BUDGET,
    module: bool = False,
    python: str | None = None,
    isolation: str = "auto",
    runs: str | os.PathLike[str] | None = None,
    start_limit_s: float | None = None,
    no_progress_limit_s: float | None = None,
    memory_limit_bytes: int | None = None,
    trackers_offline: bool = True,
    progress: Progress = SILENT,
) -> RangeTest:
    """Sweep the learning rate of a training script over decades, and suggest a range and a rate.

    The script runs as in `advisor.profile`, for at most 200 updates within about `budget` (seconds, or text like
    "90s", "5m") from its first update on. Rates are swept from a hundredth of the script's own on, from one state of
    the training and on the same batches, until the loss diverges.

    Returns the stored result. Where the losses say nothing, or the training allows no such test, it holds no suggestion
    and says why. A script that fails raises no error: the result's `failure` says what happened.

    Raises UsageError for a call that cannot be carried out, IsolationError if the files cannot be protected as asked,
    StorageError if nothing can be kept, and InterruptedByUserError after Ctrl-C.
    """
    from ..runtime import RunOptions, Session
    from ..runtime.protection import protect
    from ..storage import run_store, safe_files
    from ..storage.result_files import RANGE_TEST
    from ..target.function import command_for

    options = RunOptions(
        isolation=isolation,
        runs=runs,
        start_limit_s=start_limit_s,
        no_progress_limit_s=no_progress_limit_s,
        memory_limit_bytes=memory_limit_bytes,
        trackers_offline=trackers_offline,
        python=python,
        progress=progress,
    )
    budget_s = seconds_of(budget)
    wanted = command_for(script, args, is_module=module, interpreter=python, root=options.root)
    run = run_store.new_run(options.root, wanted.target)
    with safe_files.disk_errors(run.path):
        session = Session(
            command=wanted,
            folder=run.path,
            isolation=protect(wanted, options),
            options=options,
            loop_budget_s=budget_s,
            max_script_runs=1,
        )
        progress.time_left(session.left_s)
        result = session.run(_plan(session))
    progress.close()
    found = without_secrets(replace(_found(wanted, result), run_folder=str(run.path)), wanted, run.path)
    RANGE_TEST.save(found, run)
    if result.interrupted is not None:
        raise InterruptedByUserError(
            f"interrupted; what was tested is kept in {run.path}",
            by=result.interrupted,
            run_folder=str(run.path),
            found=found,
        ) from result.interrupted
    return found


def range_test_of(session: Session, command: Command) -> RangeTest:
    """Carry out the range test in a fresh session of another workflow; an interruption is re-raised as it came."""
    result = session.run(_plan(session))
    if result.interrupted is not None:
        raise result.interrupted
    return _found(command, result)


def _plan(session: Session) -> Planner:
    budget_s, progress = session.loop_budget_s, session.options.progress
    first = wire.Window(
        id=FIRST,
        warm_up_updates=FIRST_UPDATES[0],
        min_updates=FIRST_UPDATES[1],
        max_updates=FIRST_UPDATES[1],
        least_updates=FIRST_UPDATES[1],
        natural=False,
        max_s=budget_s,
    )
    left = MOST_UPDATES - sum(FIRST_UPDATES) - 1
    outcomes = yield [first]
    seen = outcomes.get(FIRST)
    if isinstance(seen, wire.WindowDone) and seen.wall_s:
        most_s = min(session.left_s(), left * statistics.median(seen.wall_s))
        progress.stage(f"testing the range of learning rates in {left} updates, at most {most_s:.0f} s", windows=1)
    yield [
        wire.Window(
            id=TEST,
            kind="range_test",
            natural=False,
            warm_up_updates=0,
            max_s=budget_s,
            options={"updates": left, "low": LOW, "high": HIGH, "folder": str(session.folder)},
        )
    ]


def _found(command: Command, result: SessionResult) -> ShownRangeTest:
    """Return the result of a session."""
    from ..analysis import assembly, range_test

    outcome = result.outcomes.get(TEST)
    workload = assembly.workload_of(result.script_runs[-1]) if result.script_runs else None
    optimizer = workload.main_optimizer if workload is not None else None
    common: dict[str, Any] = {"command": command, "optimizer": optimizer.class_name if optimizer else None}
    if isinstance(outcome, wire.WindowRefused):
        why = outcome.message if outcome.kind == "refused" else f"the script failed in it: {outcome.message}"
        return ShownRangeTest(**common, script_rate=optimizer.learning_rate if optimizer else None, abstained=why)
    if outcome is None or not outcome.extra:
        return ShownRangeTest(**common, abstained=_unfinished(result), failure=_failure(result))
    seen = outcome.extra
    sweeps = tuple(_sweep(sweep) for sweep in seen["sweeps"])
    reference = tuple(float(loss) for loss in seen["reference"])
    judgement = range_test.judge(sweeps, reference)
    return ShownRangeTest(
        **common,
        script_rate=float(seen["script_rate"]),
        sweeps=sweeps,
        reference=reference,
        updates=int(seen["updates"]) + sum(FIRST_UPDATES) + 1,
        bracket=judgement.bracket,
        suggestion=judgement.suggestion,
        abstained=judgement.why,
        notes=(*map(str, seen["notes"]), *_repeats(seen), *_raised(_failure(result))),
    )


def _unfinished(result: SessionResult) -> str:
    """Say why the test brought nothing back."""
    if result.interrupted is not None:
        return "the test was interrupted before it had tried a rate"
    if result.deadline_hit:
        return f"the time ended before it had tried a rate; a larger {parameter('budget')} has more"
    return "the test did not begin"


def _sweep(seen: Mapping[str, Any]) -> RateSweep:
    return RateSweep(
        rates=tuple(map(float, seen["rates"])),
        losses=tuple(None if loss is None else float(loss) for loss in seen["losses"]),
        ended=str(seen["ended"]),
    )


def _repeats(seen: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note if the same updates did not come again after a return."""
    if seen["reference"]:
        return ()
    counters = ", ".join(map(str, seen.get("counters", ())))
    own = f"; the script's own counters went on ({counters})" if counters else ""
    return (f"after a return to the same state, the losses were not the same{own}: sweeps are compared as they are",)


def _raised(failure: Failure | None) -> tuple[str, ...]:
    """Return a note on a script that failed in a sweep: many check their loss, and the rates diverge on purpose."""
    return () if failure is None else (f"{failure.message}, at a rate that the test had set",)


def _failure(result: SessionResult) -> Failure | None:
    failures = [record.failure for record in result.script_runs if record.failure is not None]
    return failures[-1] if failures else None

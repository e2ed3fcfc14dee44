"""Plan of `advisor profile`: its windows, their order and length, decided as the first of them are reported."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from .. import whatif, wire
from ..enough import FIRST_WINDOW_FRACTION, USUAL_BUDGET_S, WARM_UP_UPDATES, updates_needed
from ..runtime.session import Planner
from ..runtime.session_result import Outcome
from ..types import Workload
from ..wire import WindowRole
from . import growth, what_if_choice
from .counted import SAMPLER_HZ, Counted
from .pace import MOST_ROUNDS, SLOW_UPDATE_S, Pace

FIRST = "as written"
"""Window that steps, phases and lines are read from."""
AGAIN = "as written again"
"""Second window, at most once, if the first found no steady state, or too few updates in it."""
FIRST_S = 5.0
"""Least length of the first window for a budget of up to a minute; larger budgets give as large a share."""
FIRST_MAX_S = FIRST_WINDOW_FRACTION * USUAL_BUDGET_S
"""Greatest length; a larger budget gives as large a share, so that slow updates get enough."""
PATIENT_MAX_S = 180.0
"""Greatest length of the first window if no budget is set: it ends after ten updates, or five that take as long."""
MOST_GROWTH = 4.0
"""Limit on the growth of the least length: more than twenty seconds of fast updates show nothing new."""
AGAIN_FRACTION = 0.45
AGAIN_LEFT_S = 14.0
"""Seconds that must be left for a second window, besides that fraction of the budget: a search has better uses for
the time."""
AGAIN_MOST = 2 / 3
"""Fraction of what is left that the second window may take, to count as many updates as a judgement needs."""
WARM_UP_FRACTION = 0.5
"""Largest fraction of a budget for the warm-up of the first window: something has to be counted, too."""
FIRST_UPDATES = 10
LEAST_UPDATES = 5
"""Updates to wait for, however long each takes: fewer say nothing."""
SHORT_UPDATE_S = 0.002
"""Length below which a sample costs more than an update: the sampler then gets its own window."""
TRACED_UPDATES = 3
DEVICE_TRACE = "device"
"""Window on the device's own clock."""
DEVICE_TRACE_UPDATES = (3, 31)
"""Fewest and most updates of it; the first only fills the device."""
DEVICE_TRACE_S = 0.3
"""Length of it, as far as its updates allow: some hundred samples of the lines."""
DEVICE_TRACE_MAX_S = 20.0
DEVICE_TRACE_COST_S = 3.0
"""Approximate time that starting and reading torch's profiler takes, the loading of CUPTI included."""
TRACE_FACTOR = 3
"""Approximate slow-down of an update while its calls and operators are recorded."""
LATER = "later lines"
"""Window in which lines are sampled once more if updates became longer."""
LATER_S = 1.5
EPOCH_ENDS = ("epoch end", "epoch end again")
"""Windows in which an epoch ends early; the second if the first one has shown an evaluation."""
DRAIN_S = 1.5
INSIDE_DRAIN_S = 1.0
MOSTLY_WAITS = 0.5
"""Fraction of the loop's time that waits for data, from which the loader is looked into first: nothing else matters as
much, and slow updates may leave no time later."""
EPOCH_END_MAX_S = 4.0
ANOTHER_END_COSTS = 1.5
"""Seconds for another epoch's end per second of the evaluation in the first."""
AFTER_AN_EPOCH = 3
"""Updates from the end of an epoch on, the first of which holds what the script does there."""


def _no_windows() -> Planner:
    """Plan no window."""
    yield from ()


def profile_plan(
    workload: Callable[[], Workload | None],
    left_s: Callable[[], float],
    *,
    patient: bool = False,
    fixes: Callable[[], Planner] = _no_windows,
    asked: Callable[[], Planner] = _no_windows,
) -> Planner:
    """Plan the windows of a profile. `workload` is known once the first window was reported.

    With `patient`, `left_s` grows with the length of an update, and the first window waits for enough of them. `fixes`
    plans what follows the windows of the loop itself, and `asked` what the user has asked for, which comes first.
    """
    budget_s = left_s()
    opening = first_window(budget_s)
    outcomes = yield [replace(opening, max_s=PATIENT_MAX_S) if patient else opening]
    seen = measured(outcomes, FIRST)
    if seen is None:
        return
    again = _again(Counted(seen), budget_s, left_s)
    if again is not None:
        outcomes = yield [again]
    known, first = workload(), first_baseline(outcomes)
    if known is None or first is None:
        return
    yield from asked()
    # The median: a burst of work in other programs must not make all following windows too short.
    update_s = statistics.median(first.wall_s)
    stretch = max(1.0, statistics.fmean(first.wall_s) / update_s)
    remaining_s = left_s()
    windows = list(_traces(known, update_s, remaining_s))
    calls: Collection[str] | None = None
    if known.device != "cpu":
        outcomes = yield windows
        windows, calls, remaining_s = [], _traced_calls(outcomes), left_s()
    drains = list(_drains(known))
    if drains and Counted(first).fraction("data_wait") >= MOSTLY_WAITS:
        yield drains
        drains = []
    paced = functools.partial(_pace, known, update_s, remaining_s, traced=calls is not None, stretch=stretch)
    safe, pace, rounds = what_if_choice.safe_rounds(known, Counted(first), paced)
    windows += [window for number in range(rounds) for window in _round(safe, number, pace)]
    outcomes = yield windows
    if left_s() <= 0:  # windows took longer than planned: what follows would take the time of a search
        return
    sampled = {window.id: window for window in (opening, replace(opening, id=AGAIN), *windows)}
    if growth.rises(growth.baselines({name: each for name, each in outcomes.items() if name in sampled}, sampled, {})):
        drains = [_later_lines(update_s), *drains]
    if drains:
        outcomes = yield drains
    yield from fixes()
    ends = list(_epoch_end_windows(known, pace))
    if ends and left_s() > 0:
        outcomes = yield ends
        windows = [*windows, *ends]
        if (spent_s := _evaluation_at_end_s(outcomes)) and ANOTHER_END_COSTS * spent_s < left_s():
            outcomes = yield [_epoch_end(EPOCH_ENDS[1]), _baseline_window("base after another epoch", pace)]
    risky = list(_risky_what_ifs(known, pace, rounds, calls))
    if risky and left_s() > 0:  # an evaluation at the epoch's end may have taken long
        outcomes = yield risky
        windows = [*windows, *risky]
    rounds = sum(window.role is WindowRole.BARE for window in windows)
    while rounds < MOST_ROUNDS and (more := _one_more_round(known, windows, outcomes, rounds, left_s())):
        outcomes = yield more
        windows = [*windows, *more]
        rounds += 1


def _again(first: Counted, budget_s: float, time_left_s: Callable[[], float]) -> wire.Window | None:
    """Return a second look at the baseline if the first one needs it and the time is there."""
    update_s = first.loop_s / first.updates
    needed = updates_needed(update_s, steady=first.steady)
    if first.steady and first.updates >= needed:
        return None
    left_s = time_left_s()
    window = replace(first_window(budget_s), id=AGAIN, min_updates=needed)
    needed_s = (needed + window.warm_up_updates) * update_s
    if first.steady and needed_s <= AGAIN_MOST * left_s:  # it has settled: no more than the rest is wanted
        return replace(window, min_s=min(window.min_s, needed * update_s), max_s=max(window.max_s, needed_s))
    if left_s < max(AGAIN_LEFT_S, AGAIN_FRACTION * budget_s):
        return None
    return replace(window, max_s=max(window.max_s, min(needed_s, AGAIN_MOST * left_s)))


def first_baseline(outcomes: dict[str, Outcome]) -> wire.WindowDone | None:
    """Return the window that represents the baseline: the second one if the first was not steady."""
    first, again = measured(outcomes, FIRST), measured(outcomes, AGAIN)
    if again is not None and (steady(outcomes, AGAIN) or first is None or len(again.wall_s) > len(first.wall_s)):
        return again
    return first


def steady(outcomes: dict[str, Outcome], name: str) -> bool:
    """Return True if the window of that name found a steady state."""
    window = measured(outcomes, name)
    return window is not None and Counted(window).steady


def _evaluation_at_end_s(outcomes: dict[str, Outcome]) -> float:
    """Return the seconds of the evaluation at the end of an epoch; 0 if none was seen."""
    ended = measured(outcomes, EPOCH_ENDS[0])
    return sum(ended.off_step_s.get("evaluation", ())) if ended is not None else 0.0


def _one_more_round(
    workload: Workload, run: Sequence[wire.Window], outcomes: dict[str, Outcome], number: int, left_s: float
) -> list[wire.Window]:
    """Return the windows that best use spare time: another round of each safe what-if that was `run`."""
    done = [(window, outcome) for window in run if isinstance(outcome := outcomes.get(window.id), wire.WindowDone)]
    last = [outcome for window, outcome in done if window.role is WindowRole.BASELINE and outcome.wall_s]
    entered = {window.what_if for window, _outcome in done if window.role is WindowRole.WHAT_IF}
    applicable = what_if_choice.safe(what_if_choice.applying(workload))
    safe = [what_if for what_if in applicable if what_if.id in entered]
    if not last or not safe:
        return []
    pace = Pace.for_update(statistics.median(last[-1].wall_s), left_s, 2 * len(safe) + 2)
    if (2 * len(safe) + 2) * pace.cost_s > left_s - pace.cost_s:
        return []
    return [_baseline_window(f"base round {number}", pace), *_round(safe, number, pace)]


def first_window(budget_s: float = USUAL_BUDGET_S) -> wire.Window:
    """Return the baseline's window, for a share of the budget; slow updates get time for enough of them."""
    longer = max(1.0, budget_s / USUAL_BUDGET_S)
    return wire.Window(
        id=FIRST,
        role=WindowRole.PROFILE,
        warm_up_updates=WARM_UP_UPDATES,
        min_updates=FIRST_UPDATES,
        least_updates=LEAST_UPDATES,
        min_s=FIRST_S * min(MOST_GROWTH, max(1.0, longer / 2)),
        max_s=FIRST_MAX_S * longer,
        warm_up_s=WARM_UP_FRACTION * budget_s,
        sampler_hz=SAMPLER_HZ,
    )


def _traces(workload: Workload, update_s: float, left_s: float) -> Iterator[wire.Window]:
    """Yield the windows that look closely, between two of the baseline."""
    pace = _pace(workload, update_s, left_s, what_if_choice.applying(workload))[0]
    if update_s < SLOW_UPDATE_S:  # slow updates have no time for a window that no what-if stands beside
        yield _baseline_window("base 0", pace)
    yield _trace(update_s)
    if workload.device != "cpu":
        yield device_window(update_s)
    if update_s < SHORT_UPDATE_S:
        yield wire.Window(id="lines", min_s=2.0, min_updates=50, max_s=3.0, sampler_hz=SAMPLER_HZ)
    yield _baseline_window("base 1", pace)


def _drains(workload: Workload) -> Iterator[wire.Window]:
    for what_if in [one for one in what_if_choice.applying(workload) if one.drain is not None]:
        yield wire.Window(id=what_if.id, kind="drain", what_if=what_if.id, max_s=DRAIN_S)
        yield wire.Window(
            id=f"{what_if.id} inside", kind="drain", what_if=what_if.id, max_s=INSIDE_DRAIN_S, sampler_hz=SAMPLER_HZ * 2
        )


def _epoch_end_windows(workload: Workload, pace: Pace) -> Iterator[wire.Window]:
    if _may_see_epoch_end(workload):
        yield _epoch_end()
        yield _baseline_window("base after epoch", pace)


def _risky_what_ifs(
    workload: Workload, pace: Pace, rounds: int, calls: Collection[str] | None
) -> Iterator[wire.Window]:
    """Yield the windows of the what-ifs that may break the script: when the budget ends, they are dropped.

    `calls` are the kinds of traced calls if the traces were run already; they decide which what-ifs can show anything.
    """
    applicable = [what_if for what_if in what_if_choice.applying(workload) if what_if_choice.can_show(what_if, calls)]
    risky = [what_if for what_if in applicable if what_if.enter is not None and what_if.may_break]
    for number in range(min(2, rounds)):
        for what_if in risky:
            yield _window(f"{what_if.id} {number}", WindowRole.WHAT_IF, pace, what_if=what_if.id)
            yield _baseline_window(f"base {what_if.id} {number}", pace)


def _pace(
    workload: Workload,
    update_s: float,
    left_s: float,
    what_ifs: Sequence[whatif.WhatIf],
    *,
    traced: bool = False,
    stretch: float = 1.0,
) -> tuple[Pace, int]:
    """Return the length of windows and the rounds of what-ifs for the time that is left; `traced`: without traces."""
    drains = sum(what_if.drain is not None for what_if in what_ifs)
    pairs = len(what_ifs) - drains + 1
    fixed_s = drains * (DRAIN_S + INSIDE_DRAIN_S) + 3 * update_s + EPOCH_END_MAX_S / 4
    if not traced:
        fixed_s += (1 + _traced_updates(update_s) * TRACE_FACTOR) * update_s
        fixed_s += DEVICE_TRACE_COST_S + 2 * DEVICE_TRACE_S if workload.device != "cpu" else 0.0
    fixed_s += sum(what_if.settle_updates - 1 for what_if in what_ifs if what_if.enter is not None) * update_s
    return Pace.in_rounds(update_s, left_s - fixed_s, pairs, others=3, stretch=stretch)


def _traced_updates(update_s: float) -> int:
    return TRACED_UPDATES if update_s < SLOW_UPDATE_S else 1


def _traced_calls(outcomes: dict[str, Outcome]) -> Collection[str]:
    """Return the kinds of calls that the trace shows."""
    trace = outcomes.get("trace")
    found = trace.extra.get("trace", {}) if isinstance(trace, wire.WindowDone) else {}
    return {str(call.get("what")) for call in found.get("calls", ())}


def follow_up_windows(workload: Workload, pace: Pace, rounds: int) -> Iterator[wire.Window]:
    """Yield the windows that follow the first in a short profile: those that no script breaks on.

    Without `rounds` of what-ifs, phases and lines are all that it is about.
    """
    safe = what_if_choice.safe(what_if_choice.applying(workload))
    yield _baseline_window("base 0", pace)
    yield _trace(pace.update_s)
    if workload.device != "cpu":
        yield device_window(pace.update_s)
    yield _baseline_window("base 1", pace)
    for number in range(rounds):
        for what_if in safe:
            yield _window(f"{what_if.id} {number}", WindowRole.WHAT_IF, pace, what_if=what_if.id)
            yield _baseline_window(f"base {what_if.id} {number}", pace)
    if rounds and _may_see_epoch_end(workload):
        yield _epoch_end()


def _trace(update_s: float) -> wire.Window:
    traced = _traced_updates(update_s)
    return wire.Window(
        id="trace", kind="trace", warm_up_updates=1, min_updates=traced, max_updates=traced, least_updates=1, max_s=6.0
    )


def _later_lines(update_s: float) -> wire.Window:
    return wire.Window(
        id=LATER,
        warm_up_updates=0,
        min_updates=LEAST_UPDATES,
        least_updates=2,
        min_s=LATER_S,
        max_s=LATER_S + LEAST_UPDATES * update_s,
        sampler_hz=SAMPLER_HZ,
    )


def _epoch_end(name: str = EPOCH_ENDS[0]) -> wire.Window:
    return wire.Window(
        id=name,
        kind="epoch_end",
        warm_up_updates=0,
        min_updates=AFTER_AN_EPOCH,
        max_updates=AFTER_AN_EPOCH,
        max_s=EPOCH_END_MAX_S,
    )


def device_window(update_s: float) -> wire.Window:
    """Return the window on the device's own clock, for updates of this length."""
    fewest, most = DEVICE_TRACE_UPDATES
    updates = max(fewest, min(most, 1 + math.ceil(DEVICE_TRACE_S / update_s)))
    return wire.Window(
        id=DEVICE_TRACE,
        kind="device_trace",
        warm_up_updates=1,
        min_updates=updates,
        max_updates=updates,
        least_updates=fewest,
        max_s=DEVICE_TRACE_MAX_S,
    )


def _round(safe: Sequence[whatif.WhatIf], number: int, pace: Pace) -> Iterator[wire.Window]:
    for what_if in safe:
        yield _window(f"{what_if.id} {number}", WindowRole.WHAT_IF, pace, what_if=what_if.id)
        yield _baseline_window(f"base {what_if.id} {number}", pace)
    yield _window(f"bare {number}", WindowRole.BARE, pace, kind="bare")
    yield _baseline_window(f"base bare {number}", pace)


def _may_see_epoch_end(workload: Workload) -> bool:
    loader = workload.train_loader
    return loader is not None and loader.length_batches is not None


def _baseline_window(name: str, pace: Pace) -> wire.Window:
    return _window(name, WindowRole.BASELINE, pace)


def _window(
    name: str, role: WindowRole, pace: Pace, *, what_if: str | None = None, kind: str = "measure"
) -> wire.Window:
    return wire.Window(
        id=name,
        role=role,
        kind=kind,
        what_if=what_if,
        natural=False,
        warm_up_updates=pace.settle,
        min_updates=pace.count,
        min_s=pace.window_s,
        max_s=4 * pace.cost_s + 1.0,
    )


def measured(outcomes: dict[str, Outcome], name: str) -> wire.WindowDone | None:
    """Return the window of that name if it was run and counted anything."""
    outcome = outcomes.get(name)
    return outcome if isinstance(outcome, wire.WindowDone) and outcome.wall_s else None

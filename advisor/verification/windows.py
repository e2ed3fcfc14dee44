"""Windows of fresh processes: as many updates as the precision needs, the same for all processes of a round."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import wire
from ..runtime.session import InScriptRun, Planner
from ..standard_error import of_mean

WARM_UP_UPDATES = 10
BEGIN_UPDATES = 3
UPDATES = 50
"""Updates if nothing is known of the gain."""
LEAST_UPDATES = 10
"""Updates that suffice if they are precise, or if each takes seconds."""
WINDOW_S = 2.0
CLEAR_WINDOW_S = 1.0
"""Least seconds if the gain is clear."""
CLEAR_GAIN = 1.5
FAST_WINDOW_S = 0.25
"""Least seconds in which the faster version makes these updates, too: its loader's workers deliver in bursts."""
MOST_WINDOW_S = 7.0
PRECISION = 0.2
"""Standard error of a window's mean, as a fraction of the logarithm of the gain to be decided. Its square adds 4% each
to the variance that decides; processes differ by more among themselves."""
LEAST_GAIN = 1.05
"""Smallest gain that windows are made long for; a smaller one needs many rounds rather than long windows."""
SLOWEST = 3.0
"""Multiple of the first process' time, without the warm-up, after which a version is cut off: it is clearly slower by
then, and later rounds count as many updates as the slowest version makes in `MOST_WINDOW_S`."""
RESIZED = 1.25
"""Factor by which the number of updates must be wrong before later rounds count another."""
WINDOW = "measured"


def first_window(gain: float | None = None) -> wire.Window:
    """Return the window of the first process; all others then count the same updates.

    `gain` is the expected speed-up. The process itself ends the window once its updates are precise enough for it.
    """
    if gain is None:
        return wire.Window(
            id=WINDOW,
            warm_up_updates=WARM_UP_UPDATES,
            min_updates=UPDATES,
            least_updates=LEAST_UPDATES,
            min_s=WINDOW_S,
            max_s=MOST_WINDOW_S,
        )
    return wire.Window(
        id=WINDOW,
        warm_up_updates=WARM_UP_UPDATES,
        min_updates=LEAST_UPDATES,
        least_updates=LEAST_UPDATES,
        min_s=least_s(gain),
        max_s=MOST_WINDOW_S,
        precision=precision(gain),
    )


def least_s(gain: float) -> float:
    """Return the least seconds of the slower version's window that helps to decide this gain."""
    times = math.exp(abs(math.log(gain)))
    return min(MOST_WINDOW_S, max(CLEAR_WINDOW_S if times >= CLEAR_GAIN else WINDOW_S, times * FAST_WINDOW_S))


def precision(gain: float) -> float:
    """Return the relative standard error that a window's mean may have to decide this gain, up or down.

    That of a clear gain is enough for any larger one, whose size a reader wants to know, too.
    """
    return PRECISION * min(max(abs(math.log(gain)), math.log(LEAST_GAIN)), math.log(CLEAR_GAIN))


def updates_needed(windows: Sequence[Sequence[float]], gain: float) -> int:
    """Return how many updates further windows need, from the seconds per update of these and the measured gain."""
    errors = [(of_mean(wall_s), len(wall_s)) for wall_s in windows]
    needed = max((error / precision(gain)) ** 2 * count for error, count in errors)
    slowest_s = max(sum(wall_s) / len(wall_s) for wall_s in windows)
    least, most = least_s(gain) / slowest_s, MOST_WINDOW_S / slowest_s
    return max(LEAST_UPDATES, math.ceil(min(max(needed, least), most)))


def begin_window() -> wire.Window:
    """Return the window of a process' first, unchanged updates; after them the training's parts are known."""
    return wire.Window(
        id="begin",
        warm_up_updates=1,
        min_updates=BEGIN_UPDATES,
        max_updates=BEGIN_UPDATES,
        least_updates=BEGIN_UPDATES,
    )


def same_window(
    first: wire.WindowDone, samples_per_update: int | None = None, *, updates: int | None = None
) -> wire.Window:
    """Return a window over the updates that `first` counted, with the same data and evaluations, for another process.

    `updates` replaces their number. With its own `samples_per_update` the process counts about as many samples.
    """
    counted = len(first.wall_s)
    count = updates or counted
    usual_s = sum(first.wall_s) * count / max(1, counted)
    samples = [number for number in first.samples if number is not None]
    if samples_per_update and len(samples) == counted:
        count = max(LEAST_UPDATES, round(sum(samples) / counted * count / samples_per_update))
    return wire.Window(
        id=WINDOW,
        warm_up_updates=first.dropped_updates,
        min_updates=count,
        max_updates=count,
        least_updates=min(count, LEAST_UPDATES),
        max_s=MOST_WINDOW_S + SLOWEST * usual_s,
    )


def one_window(windows: InScriptRun) -> Planner:
    """Yield the plan of one process."""
    yield windows

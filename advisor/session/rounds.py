"""Two versions in turns: fresh processes in ABBA order, until the paired ratios decide or the time is up.

The unit of evidence is the process, not the update: updates of one process share its luck (memory layout, the cores it
got), so pooling them finds differences where there are none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .. import stats, wire
from ..errors import INTERRUPTIONS
from ..types.comparison import GateStatus, Side, SpeedRatio, SpeedStatus, SpeedUnit, VersionRun
from .session import Planner

LOOKS = (3, 5, 10)
"""After so many pairs the interval is looked at: a clear difference is decided by six processes."""
ERROR_RATE = 0.05
"""Of a wrong decision, over all looks together: each look spends its share (Bonferroni), the last what is left."""
LEAST_FLOOR = 0.02
"""Two starts of one script differ by as much on a quiet machine."""
MOST_ROUNDS_TOLD = 200
"""Beyond this nobody will wait: the versions are as good as equal."""
WARM_UP_UPDATES = 10
UPDATES = 50
LEAST_UPDATES = 10
"""Where an update takes seconds."""
WINDOW_S = 2.0
MOST_WINDOW_S = 7.0
SLOWEST = 10
"""A version that takes this many times as long as the first process is cut: the ratio is clear by then."""
WINDOW = "measured"


def first_window() -> wire.Window:
    """Of the first process; all others then count the same updates."""
    return wire.Window(
        id=WINDOW,
        warm_up_updates=WARM_UP_UPDATES,
        min_updates=UPDATES,
        least_updates=LEAST_UPDATES,
        min_s=WINDOW_S,
        max_s=MOST_WINDOW_S,
    )


def same_window(first: wire.WindowDone) -> wire.Window:
    """The updates that `first` counted, in another process: the same data, the same evaluations between them."""
    count = len(first.wall_s)
    return wire.Window(
        id=WINDOW,
        warm_up_updates=first.dropped_updates,
        min_updates=count,
        max_updates=count,
        least_updates=min(count, LEAST_UPDATES),
        max_s=SLOWEST * max(MOST_WINDOW_S, sum(first.wall_s)),
    )


def one_window(window: wire.Window) -> Planner:
    """The plan of one process."""
    yield [window]


@dataclass(kw_only=True)
class Rounds:
    """What was measured, and what it says so far."""

    planned: int
    threshold: float | None
    runs: list[VersionRun] = field(default_factory=list)
    ratio: SpeedRatio | None = None
    status: SpeedStatus = "undecided"
    gate: GateStatus | None = None
    interrupted: BaseException | None = None
    out_of_time: bool = False

    @property
    def pairs(self) -> list[tuple[VersionRun, VersionRun]]:
        """(before, after) of every whole round."""
        whole = [self.runs[start : start + 2] for start in range(0, len(self.runs) - 1, 2)]
        return [(one, two) if one.side == "before" else (two, one) for one, two in whole]

    @property
    def decided(self) -> bool:
        """What was asked has its answer: with a threshold only that counts."""
        return (self.status if self.gate is None else self.gate) != "undecided"

    @property
    def rounds_to_decide(self) -> int | None:
        """About how many pairs would decide, from how far the nearest bound is; None where that cannot be said."""
        ratio = self.ratio
        if self.decided or ratio is None or ratio.low is None or ratio.high is None:
            return None
        bounds = [1 + LEAST_FLOOR, 1 / (1 + LEAST_FLOOR)] if self.threshold is None else [self.threshold]
        half = math.log(ratio.high / ratio.low) / 2
        away = min(abs(math.log(ratio.value / bound)) for bound in bounds)
        needed = math.ceil(len(self.pairs) * (half / away) ** 2) if away > 0 else MOST_ROUNDS_TOLD + 1
        return max(len(self.pairs) + 1, needed) if needed <= MOST_ROUNDS_TOLD else None


def run_rounds(
    measure: Callable[[Side], VersionRun],
    *,
    rounds: int,
    threshold: float | None,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Rounds:
    """Measure both versions in turns. `measure` runs one fresh process; what it raises ends the comparison, but for an
    interruption: that ends it with what there is."""
    found = Rounds(planned=rounds, threshold=threshold, gate=None if threshold is None else "undecided")
    looks = [*(look for look in LOOKS if look < rounds), rounds]
    spent, begin_s = 0.0, clock()
    try:
        for number in range(rounds):
            began_s = clock()
            order: tuple[Side, Side] = ("before", "after") if number % 2 == 0 else ("after", "before")
            for side in order:
                found.runs.append(measure(side))
            found.out_of_time = clock() - begin_s + (clock() - began_s) > budget_s and number + 1 < rounds
            if number + 1 in looks or found.out_of_time:
                earlier = max((look for look in looks if look < number + 1), default=0)
                share = ERROR_RATE * (number + 1 - earlier) / rounds
                look(found, ERROR_RATE - spent if found.out_of_time or number + 1 == rounds else share)
                spent += share
            if found.decided or found.out_of_time:
                break
    except INTERRUPTIONS as interruption:
        found.interrupted = interruption
        look(found, ERROR_RATE - spent)
    return found


def look(found: Rounds, error_rate: float) -> None:
    """Judge by the pairs that are there."""
    if not found.pairs:
        return
    by_samples = all(run.samples for run in found.runs)
    pairs = [(before.rate(by_samples), after.rate(by_samples)) for before, after in found.pairs]
    unit: SpeedUnit = "samples/s" if by_samples else "updates/s"
    if len(pairs) == 1:
        found.ratio = SpeedRatio(
            value=pairs[0][1] / pairs[0][0], low=None, high=None, confidence=None, unit=unit, floor=LEAST_FLOOR
        )
        return
    interval = stats.ratio_interval(pairs, confidence=1 - error_rate)
    found.ratio = SpeedRatio(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=1 - error_rate,
        unit=unit,
        floor=noise_floor([before for before, _after in pairs]),
    )
    found.status = _status(interval, found.ratio.floor)
    if found.threshold is not None:
        found.gate = _gate(interval, found.threshold)


def noise_floor(rates: Sequence[float]) -> float:
    """What processes of one version differ by: half the relative width of their mean's interval, 2% at least."""
    own = stats.mean_interval([math.log(rate) for rate in rates])
    return max(LEAST_FLOOR, math.expm1((own.high - own.low) / 2))


def _status(interval: stats.Interval, floor: float) -> SpeedStatus:
    if interval.low > 1 + floor:
        return "faster"
    if interval.high < 1 / (1 + floor):
        return "slower"
    inside = interval.low >= 1 / (1 + LEAST_FLOOR) and interval.high <= 1 + LEAST_FLOOR
    return "no difference" if inside else "undecided"


def _gate(interval: stats.Interval, threshold: float) -> GateStatus:
    if interval.high < threshold:
        return "failed"
    return "passed" if interval.low >= threshold else "undecided"

"""Fresh processes of two versions in ABBA order, until the paired ratios decide or the time is up.

The unit of evidence is the process, not the update. Updates of one process share its luck (memory layout, the cores
it got), so pooling them finds differences that do not exist.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .. import stats
from ..errors import INTERRUPTIONS
from ..types import Skipped
from ..types.comparison import (
    FLOOR_PROCESSES,
    GateStatus,
    Side,
    SpeedRatio,
    SpeedStatus,
    SpeedUnit,
    VersionRun,
    own_spread,
)

INTERIM_ANALYSES = (3, 5, 10)
"""Pairs after which the interval is checked: six processes decide a clear difference."""
ERROR_RATE = 0.05
"""Probability of a wrong decision over all checks: each spends its share (Bonferroni), the last the remainder."""
LEAST_FLOOR = 0.02
"""Difference between two starts of one script on a quiet machine."""
PRIOR = stats.PriorSpread(deviation=0.05, degrees=4)
"""Assumed spread of a round's log ratio, as between processes that differ by 3.5%.

Quiet machines show 1 to 4%, shared ones 5 to 15%. Four degrees of freedom let two rounds decide a twofold gain at each
of these; `tests/benchmarks/deciding.py` shows how often that errs.
"""
ENOUGH_ROUNDS = 5
"""Rounds from which on their own spread is known well enough, and nothing is assumed."""
CONTRADICTED = 2.0
"""Multiple of the assumed spread above which the rounds' own spread is believed alone."""
OVERWHELMING = 1.4
"""Least speed-up that two rounds may claim: at a spread of 15% one in a hundred equal versions would show it."""
OVERWHELMING_ROUNDS = 2
ALIKE = 0.4
"""Largest difference between two processes of one version for that, as a part of the speed-up (both logarithms). It
refuses what a spread of 30% shows by chance: one claim in sixty instead of one in ten."""
MOST_HALF = 20.0
"""Cap on a logarithm: a floor of 500 million hides every gain, and its exponential stays finite."""
MOST_ROUNDS_REPORTED = 200
"""Rounds beyond which nobody will wait: the versions are as good as equal."""
MINUTES_S = 180.0
"""Duration from which times are reported in minutes."""


@dataclass(kw_only=True)
class Rounds:
    """Measurements of one comparison, and their result so far."""

    planned: int
    threshold: float | None
    gain_only: bool = False
    """True if only a gain of `after` matters: the answer may be that there is none, but not how much slower it is."""
    runs: list[VersionRun] = field(default_factory=list)
    ratio: SpeedRatio | None = None
    status: SpeedStatus = "undecided"
    gate: GateStatus | None = None
    interrupted: BaseException | None = None
    out_of_time: bool = False
    budget_s: float = math.inf
    passed_s: float = 0.0
    """Seconds that the rounds took, if the budget ended them."""
    earlier: int = 0
    """Rounds of earlier verifications, which took none of this time."""
    dropped_out: bool = False
    """True if `after` could not be measured and takes no further part."""

    @property
    def pairs(self) -> list[tuple[VersionRun, VersionRun]]:
        """Return (before, after) of every whole round."""
        whole = [self.runs[start : start + 2] for start in range(0, len(self.runs) - 1, 2)]
        return [(one, two) if one.side == "before" else (two, one) for one, two in whole]

    @property
    def skipped_rounds(self) -> Skipped | None:
        """Return the planned rounds that did not fit into the time, and the time they would have needed."""
        done = len(self.pairs)
        if not self.out_of_time or done <= self.earlier or done >= self.planned:
            return None
        more_s = (self.planned - done) * self.passed_s / (done - self.earlier)
        fitted = f"{done - self.earlier} of {self.planned - self.earlier} rounds fitted into {_time(self.budget_s)}"
        return Skipped(
            what=f"rounds {done + 1} to {self.planned}" if done + 1 < self.planned else f"round {self.planned}",
            why=f"time ran out: {fitted}; about {_time(more_s)} more is needed",
        )

    @property
    def by_samples(self) -> bool:
        """Return True if speed is samples/s, and False (updates/s) if samples could not be counted everywhere."""
        return all(run.samples for run in self.runs)

    @property
    def own_spread(self) -> float | None:
        """Return how much faster the fastest process of the version before was than its slowest, minus 1."""
        return own_spread(self.runs, by_samples=self.by_samples)

    @property
    def no_gain(self) -> bool:
        """Return True if the whole interval lies below the least gain that counts."""
        return self.ratio is not None and self.ratio.high is not None and self.ratio.high <= 1 + LEAST_FLOOR

    @property
    def decided(self) -> bool:
        """Return True if the question is answered; with a threshold, only the threshold counts."""
        if self.gate is not None:
            return self.gate != "undecided"
        return self.status != "undecided" or (self.gain_only and self.no_gain)

    @property
    def rounds_to_decide(self) -> int | None:
        """Estimate from the nearest bound's distance how many pairs would decide; return None if that is impossible."""
        ratio = self.ratio
        if self.decided or ratio is None or ratio.low is None or ratio.high is None:
            return None
        bounds = [1 + LEAST_FLOOR, 1 / (1 + LEAST_FLOOR)] if self.threshold is None else [self.threshold]
        bounds = bounds[:1] if self.gain_only else bounds
        half = math.log(ratio.high / ratio.low) / 2
        away = min(abs(math.log(ratio.value / bound)) for bound in bounds)
        # If the interval is clear of the bound, the floor hides the gain; it shrinks with the rounds, too.
        if ratio.low > 1 + LEAST_FLOOR and self.threshold is None:
            half, away = max(half, math.log1p(ratio.floor)), math.log(ratio.low)
        needed = math.ceil(len(self.pairs) * (half / away) ** 2) if away > 0 else MOST_ROUNDS_REPORTED + 1
        return max(len(self.pairs) + 1, needed) if needed <= MOST_ROUNDS_REPORTED else None


def run_rounds(
    measure: Callable[[Side], VersionRun],
    *,
    rounds: int,
    threshold: float | None,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Rounds:
    """Measure both versions in turns.

    `measure` runs one fresh process. An exception from it ends the comparison. An interruption ends it too, but keeps
    the results so far.
    """
    found = Rounds(planned=rounds, threshold=threshold, gate=None if threshold is None else "undecided")
    run_comparisons(
        lambda place, _number: measure("after" if place else "before"),
        [found],
        rounds=rounds,
        budget_s=budget_s,
        clock=clock,
    )
    return found


def run_comparisons(
    measure: Callable[[int, int], VersionRun | None],
    comparisons: Sequence[Rounds],
    *,
    rounds: int,
    budget_s: float,
    clock: Callable[[], float] = time.monotonic,
    settled: Callable[[int], bool] = lambda _place: True,
    begin: Callable[[Sequence[int], int], None] = lambda _order, _number: None,
    earlier: int = 0,
) -> None:
    """Measure several candidates against one baseline, whose process in a round serves them all.

    `measure(place, round)` runs one fresh process. Place 0 is the baseline, place n the candidate of
    `comparisons[n - 1]`, which drops out if None is returned. The measuring ends once every comparison is decided and
    `settled(place)` says that nothing else is open, or when the time is up. `begin(places, round)` is called before
    each round, with the order of its processes.

    `earlier` rounds are among the comparisons' runs already. They count in `rounds` and in the interim analyses, whose
    share of the error rate is spent.
    """
    analyses = [*(planned for planned in INTERIM_ANALYSES if planned < rounds), rounds]
    spent = ERROR_RATE * max((planned for planned in analyses if planned <= earlier), default=0) / rounds
    begin_s = clock()
    try:
        for number in range(earlier, rounds):
            began_s = clock()
            places = [
                place for place, comparison in enumerate(comparisons, 1) if not _closed(comparison, settled, place)
            ]
            order = [0, *places] if number % 2 == 0 else [*places[::-1], 0]
            begin(order, number)
            _one_round(measure, comparisons, order, number)
            passed_s, round_s = clock() - begin_s, clock() - began_s
            out_of_time = passed_s + round_s > budget_s and number + 1 < rounds
            if number + 1 == OVERWHELMING_ROUNDS and not out_of_time:
                for place in places:
                    analyse_early(comparisons[place - 1])
            if number + 1 in analyses or out_of_time:
                earlier = max((planned for planned in analyses if planned < number + 1), default=0)
                share = ERROR_RATE * (number + 1 - earlier) / rounds
                for place in places:
                    comparisons[place - 1].out_of_time = out_of_time
                    comparisons[place - 1].budget_s, comparisons[place - 1].passed_s = budget_s, passed_s
                    analyse(
                        comparisons[place - 1], ERROR_RATE - spent if out_of_time or number + 1 == rounds else share
                    )
                spent += share
            if out_of_time or all(
                _closed(comparison, settled, place) for place, comparison in enumerate(comparisons, 1)
            ):
                break
    except INTERRUPTIONS as interruption:
        for comparison in comparisons:
            comparison.interrupted = interruption
            if not comparison.decided:
                analyse(comparison, ERROR_RATE - spent)


def _time(seconds: float) -> str:
    """Format a time like a --budget, as "110 s" or "4 min", no finer than anyone would plan."""
    return f"{max(1, math.ceil(seconds))} s" if seconds < MINUTES_S else f"{math.ceil(seconds / 60)} min"


def _closed(comparison: Rounds, settled: Callable[[int], bool], place: int) -> bool:
    return comparison.dropped_out or (comparison.decided and settled(place))


def _one_round(
    measure: Callable[[int, int], VersionRun | None], comparisons: Sequence[Rounds], order: Sequence[int], number: int
) -> None:
    """Run baseline and candidates once each; reversing the order every other time lets drift affect all alike."""
    for place in order:
        run = measure(place, number)
        for comparison in (
            [comparisons[other - 1] for other in order if other] if place == 0 else [comparisons[place - 1]]
        ):
            if run is None:
                comparison.dropped_out = True
            elif not comparison.dropped_out:
                comparison.runs.append(run)


def analyse(found: Rounds, error_rate: float) -> None:
    """Judge by the existing pairs."""
    if not found.pairs:
        return
    by_samples = found.by_samples
    pairs = [(before.rate(by_samples), after.rate(by_samples)) for before, after in found.pairs]
    unit: SpeedUnit = "samples/s" if by_samples else "updates/s"
    floor = noise_floor([run.rate(by_samples) for run in found.runs if run.side == "before"])
    if len(pairs) == 1:
        found.ratio = SpeedRatio(
            value=pairs[0][1] / pairs[0][0], low=None, high=None, confidence=None, unit=unit, floor=LEAST_FLOOR
        )
        return
    interval = _interval(pairs, 1 - error_rate, undisturbed=not any(run.disturbed for run in found.runs))
    found.ratio = SpeedRatio(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        confidence=1 - error_rate,
        unit=unit,
        floor=floor if floor is not None else LEAST_FLOOR,
    )
    found.status = _status(interval, floor) if len(pairs) > OVERWHELMING_ROUNDS else _of_two(found, interval)
    if found.threshold is not None:
        found.gate = _gate(interval, found.threshold)


def _interval(pairs: Sequence[tuple[float, float]], confidence: float, *, undisturbed: bool) -> stats.Interval:
    """Return the interval of the ratio, with the assumed spread as long as few rounds are there to contradict it."""
    logs = [math.log(after / before) for before, after in pairs]
    contradicted = len(pairs) > OVERWHELMING_ROUNDS and statistics.stdev(logs) > CONTRADICTED * PRIOR.deviation
    assumed = undisturbed and len(pairs) < ENOUGH_ROUNDS and not contradicted
    return stats.ratio_interval(pairs, confidence=confidence, prior=PRIOR if assumed else None)


def analyse_early(found: Rounds) -> None:
    """Judge by two pairs, but only if they leave no doubt; otherwise change nothing, as if they were not checked."""
    if len(found.pairs) != OVERWHELMING_ROUNDS or found.threshold is not None:
        return
    trial = replace(found)
    analyse(trial, ERROR_RATE)
    if trial.status in ("faster", "slower"):
        found.ratio, found.status = trial.ratio, trial.status


def _of_two(found: Rounds, interval: stats.Interval) -> SpeedStatus:
    """Return the status from two rounds: only a difference counts that is large and far beyond all others."""
    difference = abs(math.log(interval.value))
    logs = [[math.log(run.rate(found.by_samples)) for run in runs] for runs in zip(*found.pairs, strict=True)]
    alike = all(abs(one - two) <= ALIKE * difference for one, two in logs)
    if difference < math.log(OVERWHELMING) or not alike or any(run.disturbed for run in found.runs):
        return "undecided"
    return _status(interval, LEAST_FLOOR)


def noise_floor(rates: Sequence[float]) -> float | None:
    """Return how far the mean of these processes of one version may be off: its standard error, at least 2%.

    One outlier among five or more processes does not move it. Return None for fewer than three: those say nothing.
    """
    if len(rates) < FLOOR_PROCESSES:
        return None
    logs = [math.log(rate) for rate in rates]
    # Without outliers the standard deviation is the more reliable of the two; the robust one is too large for so few.
    deviation = min(stats.robust_deviation(logs), statistics.stdev(logs))
    return max(LEAST_FLOOR, math.expm1(min(deviation / math.sqrt(len(rates)), MOST_HALF)))


def _status(interval: stats.Interval, floor: float | None) -> SpeedStatus:
    """Return the status by interval and floor; without a floor, no difference is above it."""
    if floor is not None and interval.low > 1 + floor:
        return "faster"
    if floor is not None and interval.high < 1 / (1 + floor):
        return "slower"
    inside = interval.low >= 1 / (1 + LEAST_FLOOR) and interval.high <= 1 + LEAST_FLOOR
    return "no difference" if inside else "undecided"


def _gate(interval: stats.Interval, threshold: float) -> GateStatus:
    if interval.high < threshold:
        return "failed"
    return "passed" if interval.low >= threshold else "undecided"

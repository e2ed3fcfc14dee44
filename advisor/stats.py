"""The few statistics that advisor relies on, each with its source; standard library only.

Nothing here knows what the numbers mean: times, rates and ratios come in, intervals go out.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

_Value = TypeVar("_Value")

BATCH_SIZE = 5
"""The 5 of MSER-5: means of five neighbours remove the sharpest noise before the rule is applied (White 1997)."""
FEWEST_BATCHES = 10
"""Fewest batches to make: in fewer than ten values a transient cannot be told from noise."""
FEWEST_VALUES = 5
"""Fewest values that count as steady if they agree: a long update is itself an average of many operators."""
AGREEMENT = 0.15
"""Half the relative width of a mean's interval, within which few values agree. One-second updates scatter by a few
percent on a quiet machine; one warm-up update 50% longer among five gives 28%."""
TAIL_BATCHES = 5
"""Batches at the end that the rule never judges alone: few values are alike by chance (Hoad, Robinson & Davies
2010)."""
LEVEL_CHANGE = 0.05
"""Relative distance below which two levels are one: slightly over twice the least noise floor of a comparison, 2%."""
MOST_BATCHES = 20
"""Most batches: more add little, and make each too short to outlive the autocorrelation (Schmeiser 1982)."""
MOST_SLOPE_POINTS = 400
"""Most points for Theil–Sen, which looks at all pairs: 400 points make 79 800 pairs and take a tenth of a second."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with the two ends of its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class PriorSpread:
    """Spread that is assumed of values until enough of them are seen."""

    deviation: float
    """Standard deviation."""
    degrees: int
    """Degrees of freedom that it is worth: it counts as much as one value more than these."""


@dataclass(frozen=True, kw_only=True)
class WarmUp:
    """Values at the start that are not yet in the steady state."""

    cut: int
    """Number of values to drop."""
    steady: bool
    """False if no steady state was found: the best cut falls in the last half, or there are too few values (below five,
    or below ten that do not agree)."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the percentile by linear interpolation between order statistics (Hyndman & Fan 1996, definition 7)."""
    if not values:
        raise ValueError("percentile of no values: at least one is needed")
    if not 0 <= percent <= 100:
        raise ValueError(f"percent must lie between 0 and 100, got {percent}")
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def mser5(times: Sequence[float], *, minimum_cut: int = 3) -> WarmUp:
    """Find the start of the steady state: the cut that makes the mean of the rest most certain.

    MSER-5 (White 1997; White, Cobb & Spratt 2000) works on the means of batches of five. It takes the cut that
    minimises the squared standard error of the rest. Short series use smaller batches (White's MSER-m) so that there
    are ten.

    A cut in the last half means no steady state, but only if the level before and after it really differs. Noise, or
    one long stall late in a series, may also put the cut there, and neither is a transient. Of fewer than ten values
    the first ones are cut as long as five stay, and those must agree (`AGREEMENT`).

    `minimum_cut` values are always dropped, but at most half of them all.
    """
    count = len(times)
    least = min(minimum_cut, count // 2)
    if count < FEWEST_BATCHES:
        return _of_few(times, least)
    size = max(1, min(BATCH_SIZE, count // FEWEST_BATCHES))
    # Whole batches are counted back from the end, so that they always include the newest values.
    offset = count % size
    means = [statistics.fmean(times[start : start + size]) for start in range(offset, count, size)]
    errors = _squared_errors(means)
    half = len(means) // 2
    late = min(range(len(errors)), key=errors.__getitem__)
    if late > half and _level_changes(times, offset + late * size, least):
        return WarmUp(cut=count // 2, steady=False)
    early = min(range(half + 1), key=errors.__getitem__)
    return WarmUp(cut=max(least, offset + early * size if early else 0), steady=True)


def _of_few(times: Sequence[float], least: int) -> WarmUp:
    cuts = range(least, len(times) - FEWEST_VALUES + 1)
    if not cuts:
        return WarmUp(cut=least, steady=False)
    cut = min(cuts, key=lambda at: statistics.variance(times[at:]) / len(times[at:]))
    kept = mean_interval(times[cut:])
    return WarmUp(cut=cut, steady=kept.high - kept.value <= AGREEMENT * kept.value)


def _squared_errors(values: Sequence[float]) -> list[float]:
    """Return the squared standard error of the mean of `values[cut:]`, for every cut that leaves enough of them."""
    errors = []
    total = squares = 0.0
    centre = statistics.median(values)
    # From the end, so that sums are accumulated once; deviations from the median keep them exact.
    for left, value in enumerate(reversed(values), start=1):
        deviation = value - centre
        total += deviation
        squares += deviation * deviation
        errors.append(max(0.0, squares - total * total / left) / (left * left))
    tail = max(2, min(TAIL_BATCHES, len(values) // 4))
    return errors[tail - 1 :][::-1]


def _level_changes(times: Sequence[float], cut: int, start: int) -> bool:
    before, after = statistics.median(times[start:cut]), statistics.median(times[cut:])
    return abs(before - after) > LEVEL_CHANGE * min(before, after)


def student_t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t for a whole number of degrees of freedom.

    Inverts the closed-form distribution function (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4) by bisection.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability must lie between 0 and 1, got {probability}")
    if degrees < 1:
        raise ValueError(f"degrees of freedom must be at least 1, got {degrees}")
    if probability < 0.5:
        return -student_t_quantile(1 - probability, degrees)
    inside = 2 * probability - 1
    low, high = 0.0, math.pi / 2
    # theta = arctan(t / sqrt(degrees)) lies in a bounded range: 60 halvings reach the last digit.
    for _ in range(60):
        middle = (low + high) / 2
        if _student_t_inside(middle, degrees) < inside:
            low = middle
        else:
            high = middle
    return math.tan((low + high) / 2) * math.sqrt(degrees)


def _student_t_inside(theta: float, degrees: int) -> float:
    """Return P(|T| < t) for theta = arctan(t / sqrt(degrees))."""
    sine, cosine = math.sin(theta), math.cos(theta)
    if degrees % 2:
        term, series = cosine, cosine if degrees > 1 else 0.0
        for k in range(3, degrees - 1, 2):
            term *= cosine * cosine * (k - 1) / k
            series += term
        return (theta + sine * series) * 2 / math.pi
    term = series = 1.0
    for k in range(2, degrees - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        series += term
    return sine * series


def mean_interval(values: Sequence[float], *, confidence: float = 0.95, prior: PriorSpread | None = None) -> Interval:
    """Return Student's t-interval of the mean of independent values; at least two are needed.

    With `prior` it is the moderated t-interval (Smyth 2004): the variance is the mean of the prior's and the values'
    own, weighted by degrees of freedom, which add up. Two values that agree by chance then prove nothing.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least 2 values, got {len(values)}")
    mean, degrees, squares = statistics.fmean(values), len(values) - 1, statistics.variance(values) * (len(values) - 1)
    if prior is not None:
        degrees, squares = degrees + prior.degrees, squares + prior.degrees * prior.deviation**2
    error = math.sqrt(squares / degrees / len(values))
    half = student_t_quantile(0.5 + confidence / 2, degrees) * error
    return Interval(value=mean, low=mean - half, high=mean + half)


def robust_deviation(values: Sequence[float]) -> float:
    """Estimate the standard deviation as the median distance between two of the values; at least two are needed.

    Up to 29% of wild values do not move it (Shamos 1976; Bickel & Lehmann 1979). So one of five may be wild; of three
    or four, where nobody can say which are wild, it counts. No consistency factor is applied. For normal values the
    result is 1.23, 1.05 and 0.99 standard deviations for 3, 5 and 10 of them (simulated), 0.95 for many.
    """
    if len(values) < 2:
        raise ValueError(f"a deviation needs at least 2 values, got {len(values)}")
    return statistics.median(abs(one - two) for one, two in itertools.combinations(values, 2))


def ratio_interval(
    pairs: Sequence[tuple[float, float]], *, confidence: float = 0.95, prior: PriorSpread | None = None
) -> Interval:
    """Return the geometric mean of `candidate / baseline` over neighbouring (baseline, candidate) pairs, with interval.

    Computes Student's t-interval on logarithms, so that twice as fast and half as fast weigh the same (Fleming &
    Wallace 1986). Pairing removes slow drift (Kalibera & Jones 2013). `prior` is that of the logarithms. Needs at least
    two pairs, all positive.
    """
    for baseline, candidate in pairs:
        if not (baseline > 0 and candidate > 0 and math.isfinite(baseline) and math.isfinite(candidate)):
            raise ValueError(f"ratios need positive finite numbers, got the pair ({baseline}, {candidate})")
    logs = mean_interval([math.log(after / before) for before, after in pairs], confidence=confidence, prior=prior)
    return Interval(value=math.exp(logs.value), low=math.exp(logs.low), high=math.exp(logs.high))


def rate_interval(amounts: Sequence[float], seconds: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the rate `sum(amounts) / sum(seconds)` of one run, with an interval that respects autocorrelation.

    Neighbouring updates are alike, so a plain t-interval over them is far too narrow. The interval uses non-overlapping
    batch means (Conway 1963; Schmeiser 1982) of the ratio estimator's residuals (Cochran 1977, 2.9). Correlation left
    between batches widens the variance by (1 + r) / (1 - r), r of first order. Needs at least two updates.
    """
    if len(amounts) != len(seconds):
        raise ValueError(f"amounts and seconds must pair up, got {len(amounts)} and {len(seconds)}")
    if len(seconds) < 2 or sum(seconds) <= 0:
        raise ValueError(f"a rate's interval needs at least 2 updates that took time, got {len(seconds)}")
    rate = math.fsum(amounts) / math.fsum(seconds)
    residuals = [amount - rate * second for amount, second in zip(amounts, seconds, strict=True)]
    batches = batch_count(len(residuals))
    edges = [round(index * len(residuals) / batches) for index in range(batches + 1)]
    sums = [math.fsum(residuals[start:end]) for start, end in itertools.pairwise(edges)]
    variance = math.fsum(value * value for value in sums) * batches / (batches - 1)
    error = math.sqrt(variance * _correlation_factor(sums)) / math.fsum(seconds)
    half = student_t_quantile(0.5 + confidence / 2, batches - 1) * error
    return Interval(value=rate, low=max(0.0, rate - half), high=rate + half)


def widest_share_error(samples: float, *, confidence: float = 0.95) -> float:
    """Return half the width of the normal interval of a share seen in so many samples, at most: that of one half."""
    return statistics.NormalDist().inv_cdf(0.5 + confidence / 2) * 0.5 / math.sqrt(max(samples, 1.0))


def batch_count(count: int) -> int:
    """Return about as many batches as each has values, at most twenty; short series are taken value by value."""
    if count < 2 * BATCH_SIZE:
        return count
    return max(BATCH_SIZE, min(MOST_BATCHES, count // BATCH_SIZE, math.isqrt(count)))


def _correlation_factor(values: Sequence[float]) -> float:
    """Return the factor by which remaining first-order correlation widens the variance of a mean; never below 1."""
    whole = math.fsum(value * value for value in values)
    if whole <= 0:
        return 1.0
    neighbours = math.fsum(one * two for one, two in itertools.pairwise(values))
    # The estimate is too low by about 1/n in short series (Kendall 1954); beyond 0.8 it says "not steady", not "wider".
    correlation = min(0.8, max(0.0, neighbours / whole + 1 / len(values)))
    return (1 + correlation) / (1 - correlation)


def parts(values: Sequence[_Value], count: int) -> list[Sequence[_Value]]:
    """Return the values in this many parts of about equal length, in their order."""
    edges = [round(index * len(values) / count) for index in range(count + 1)]
    return [values[begin:end] for begin, end in itertools.pairwise(edges)]


def theil_sen(xs: Sequence[float], ys: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the slope of y over x as the median of all pairs' slopes, with Sen's interval.

    Up to 29% of wild points do not move it (Theil 1950; Sen 1968). The interval comes from the variance of Kendall's S,
    corrected for ties in y. It treats the points as independent, so a slow random walk may look like a slope: check the
    size of the slope, too, not only the interval. Long series are thinned evenly to 400 points.
    """
    if len(xs) != len(ys):
        raise ValueError(f"xs and ys must pair up, got {len(xs)} and {len(ys)}")
    points = _thinned(list(zip(xs, ys, strict=True)), MOST_SLOPE_POINTS)
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(points)
        for later in points[index + 1 :]
        if later[0] != earlier[0]
    )
    if len(slopes) < 3:
        raise ValueError(f"a slope's interval needs at least 3 points at different x, got {len(points)} points")
    count = len(points)
    ties = [sum(1 for _, y in points if y == value) for value in {y for _, y in points}]
    spread = count * (count - 1) * (2 * count + 5) - sum(tie * (tie - 1) * (2 * tie + 5) for tie in ties)
    half = statistics.NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(spread / 18) / 2
    lower = max(0, math.floor(len(slopes) / 2 - half) - 1)
    upper = min(len(slopes) - 1, math.ceil(len(slopes) / 2 + half))
    return Interval(value=statistics.median(slopes), low=slopes[lower], high=slopes[upper])


def _thinned(points: list[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    if len(points) <= most:
        return points
    step = (len(points) - 1) / (most - 1)
    return [points[round(index * step)] for index in range(most)]

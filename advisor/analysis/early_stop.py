"""Part of the configured training that adds nothing, from the losses seen so far.

Learning curves are fitted with a power law with an offset (Hestness et al. 2017) over a grid of shapes. Every shape
counts by its likelihood, so the interval of what is left holds all that fit. Up to the last loss seen, what is gained
is read from the losses themselves.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..types import EarlyStop
from .loss_trend import Point

LEAST_LOSSES = 60
"""Fewest losses for a fit of three parameters to means of several each."""
LEAST_SEEN = 0.25
"""Part of the planned training that must have been seen: plateaus early in a training end, and no fit foresees that."""
LEAST_SAVED = 0.1
"""Part of the training below which stopping early is not worth a word."""
TOLERANCE = 0.01
"""Part of the fall so far that does not count: seeds of one script differ by more at its end."""
MEANS = 30
"""Means of neighbouring losses that are fitted."""
SIGNIFICANT = 4.0
"""Standard errors that the loss must have fallen by: before, there is nothing to extrapolate."""
BOUND = 0.975
EXPONENTS = tuple(0.1 * 1.26**step for step in range(11))
"""Powers from 0.1, nearly a logarithm, to 2.5."""
OFFSETS = (0.0, 0.03, 0.1, 0.3, 1.0)
"""Updates added to a power law's, as a part of those seen: a curve does not begin at infinity."""
MISFIT = 0.01
"""Part of the fall by which a real curve departs from every power law: errors are not taken to be smaller."""
SKIPPED = 0.05
"""Part of the losses at the beginning that is not fitted: a curve settles into its law."""
CANDIDATES = 200


@dataclass(frozen=True)
class _Shape:
    """One fitted curve: a + b · basis(u)."""

    basis: Callable[[float], float]
    slope: float
    """b."""
    error: float
    """Standard error of b."""
    misfit: float
    """Sum of squares in standard errors."""
    weight: float = 1.0

    def gain(self, begin: float, end: float) -> tuple[float, float]:
        """Return the fall from one update to another, and its standard error."""
        span = self.basis(begin) - self.basis(end)
        return self.slope * span, self.error * span


@dataclass(frozen=True)
class _Curve:
    """Losses seen, and the shapes that continue them."""

    seen: Sequence[Point]
    shapes: Sequence[_Shape]
    last: int

    @property
    def begin(self) -> int:
        return self.seen[0][0] + self._width

    @property
    def _width(self) -> int:
        return max(LEAST_LOSSES // 4, len(self.seen) // 10)

    def gain(self, begin: int, planned: int, part: float) -> float:
        """Return a quantile of the fall from one update to the planned end."""
        if begin >= self.last:
            return _quantile(self.shapes, begin, planned, part)
        before = [loss for update, loss in self.seen if update < begin][-self._width :]
        after = [loss for _update, loss in self.seen[-self._width :]]
        error = math.hypot(_error(before), _error(after))
        fallen = statistics.fmean(before) - statistics.fmean(after) + statistics.NormalDist().inv_cdf(part) * error
        return max(0.0, fallen) + _quantile(self.shapes, self.last, planned, part)


def early_stop(seen: Sequence[Point], planned: int | None, *, decay_ahead: bool | None = False) -> EarlyStop:
    """Return from which update on the training adds nothing, or why that cannot be said.

    `seen` are (number of the update, loss) in their order, `planned` is the update at which the training ends, and
    `decay_ahead` whether the learning rate is still to fall (None: not known).
    """
    last = seen[-1][0] + 1 if seen else 0
    why_not = _why_not(seen, planned, decay_ahead)
    if planned is None or why_not:
        return EarlyStop(seen=last, planned=planned or 0, why_not=why_not)
    means = list(_means(seen))
    fall = means[0][1] - means[-1][1]
    error = math.hypot(means[0][2], means[-1][2])
    if fall < SIGNIFICANT * error:
        return EarlyStop(seen=last, planned=planned, why_not="the loss has not fallen beyond its noise")
    fitted = [(at, mean, math.hypot(own, MISFIT * fall)) for at, mean, own in means if at > SKIPPED * last]
    curve = _Curve(seen, _shapes(fitted, float(last)), last)
    tolerance = TOLERANCE * fall
    left = [_quantile(curve.shapes, last, planned, part) for part in (0.5, 1 - BOUND, BOUND)]
    return EarlyStop(
        seen=last,
        planned=planned,
        stop_at=_first(curve, planned, tolerance, BOUND),
        low=_first(curve, planned, tolerance, 0.5),
        tolerance=tolerance,
        left=left[0],
        left_low=left[1],
        left_high=left[2],
    )


def _why_not(seen: Sequence[Point], planned: int | None, decay_ahead: bool | None) -> str:
    if planned is None:
        return "the script's loops do not say how long it trains"
    if len(seen) < LEAST_LOSSES:
        return f"{len(seen)} losses were seen, and {LEAST_LOSSES} are needed"
    if seen[-1][0] + 1 < LEAST_SEEN * planned:
        return f"{(seen[-1][0] + 1) / planned:.0%} of the training was seen, and {LEAST_SEEN:.0%} is needed"
    if decay_ahead is not False:
        return "the learning rate may still fall, and losses fall with it"
    return ""


def _means(seen: Sequence[Point]) -> Iterator[tuple[float, float, float]]:
    """Yield (update, mean loss, standard error) of neighbouring losses; the first means are of fewer."""
    count = len(seen)
    parts = min(MEANS, count // 6)
    # Edges halfway between equal steps and equal ratios: curves bend at their beginning.
    edges = [round(count * (0.5 * at / parts + 0.5 * (at / parts) ** 2)) for at in range(parts + 1)]
    spread = _spread([loss for _update, loss in seen])
    for begin, end in itertools.pairwise(edges):
        piece = seen[begin:end]
        if piece:
            mean = statistics.fmean(loss for _update, loss in piece)
            at = statistics.fmean(update for update, _loss in piece)
            own = statistics.stdev(loss for _update, loss in piece) if len(piece) > 2 else spread
            yield at + 1, mean, max(own, 0.3 * spread, 1e-12) / math.sqrt(len(piece))


def _spread(losses: Sequence[float]) -> float:
    """Return the standard deviation of the noise, by the differences of neighbours in the later half."""
    late = losses[len(losses) // 2 :]
    return statistics.median(abs(one - two) for one, two in itertools.pairwise(late)) * 1.4826 / math.sqrt(2)


def _error(losses: Sequence[float]) -> float:
    return statistics.stdev(losses) / math.sqrt(len(losses))


def _shapes(means: Sequence[tuple[float, float, float]], last: float) -> list[_Shape]:
    fitted = [_fit(means, basis) for basis in _bases(last)]
    shapes = [shape for shape in fitted if shape is not None]
    best = min(shape.misfit for shape in shapes)
    # Where no shape fits within the errors, these are too small, and count for less.
    scale = max(1.0, best / max(1, len(means) - 4))
    return [
        _Shape(
            shape.basis,
            shape.slope,
            shape.error * math.sqrt(scale),
            shape.misfit,
            math.exp(-0.5 * (shape.misfit - best) / scale),
        )
        for shape in shapes
    ]


def _bases(last: float) -> Iterator[Callable[[float], float]]:
    for exponent, offset in itertools.product(EXPONENTS, OFFSETS):
        yield functools.partial(_power, last, exponent, offset)


def _power(last: float, exponent: float, offset: float, update: float) -> float:
    return float((update / last + offset) ** -exponent)


def _fit(means: Sequence[tuple[float, float, float]], basis: Callable[[float], float]) -> _Shape | None:
    """Fit offset and slope by weighted least squares; a slope below zero, a rising curve, counts as none."""
    weights = [error**-2 for _at, _mean, error in means]
    xs = [basis(at) for at, _mean, _error in means]
    ys = [mean for _at, mean, _error in means]
    whole = math.fsum(weights)
    x_mean = math.fsum(weight * x for weight, x in zip(weights, xs, strict=True)) / whole
    y_mean = math.fsum(weight * y for weight, y in zip(weights, ys, strict=True)) / whole
    spread = math.fsum(weight * (x - x_mean) ** 2 for weight, x in zip(weights, xs, strict=True))
    if spread <= 0:
        return None
    both = math.fsum(w * (x - x_mean) * (y - y_mean) for w, x, y in zip(weights, xs, ys, strict=True))
    slope = max(0.0, both / spread)
    misfit = math.fsum(
        weight * (y - y_mean - slope * (x - x_mean)) ** 2 for weight, x, y in zip(weights, xs, ys, strict=True)
    )
    return _Shape(basis, slope, spread**-0.5, misfit)


def _quantile(shapes: Sequence[_Shape], begin: float, end: float, part: float) -> float:
    """Return the quantile of the fall between two updates over all shapes, each a normal distribution."""
    gains = [(shape.weight, *shape.gain(begin, end)) for shape in shapes if shape.weight > 1e-9]
    whole = math.fsum(weight for weight, _mean, _error in gains)
    low = min(mean - 6 * error for _weight, mean, error in gains) - 1e-300
    high = max(mean + 6 * error for _weight, mean, error in gains) + 1e-300
    for _ in range(60):
        middle = (low + high) / 2
        below = math.fsum(weight * _normal(middle, mean, error) for weight, mean, error in gains)
        if below < part * whole:
            low = middle
        else:
            high = middle
    return max(0.0, (low + high) / 2)


def _normal(value: float, mean: float, error: float) -> float:
    if error <= 0:
        return 1.0 if value >= mean else 0.0
    return 0.5 * (1 + math.erf((value - mean) / (error * math.sqrt(2))))


def _first(curve: _Curve, planned: int, tolerance: float, part: float) -> int | None:
    """Return the first update from which the gain until the end is below the tolerance at this quantile."""
    low, high = curve.begin, math.floor(planned * (1 - LEAST_SAVED))
    if low >= high or curve.gain(high, planned, part) > tolerance:
        return None
    while high - low > max(1, planned // CANDIDATES):
        middle = (low + high) // 2
        if curve.gain(middle, planned, part) <= tolerance:
            high = middle
        else:
            low = middle
    return high

"""Judgement of a range test: from which rate on the loss falls, where it is lowest, and where it diverges.

A sweep's losses are taken relative to the reference pass, which had the same batches at a rate of 0; without one, as
they are. They are smoothed over the logarithm of the rate. Nothing is suggested where the fall is no larger than noise.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..rate_curve import BANDWIDTH, differences, smoothed
from ..types import RateBracket, RateSuggestion, RateSweep

START = 1.0
"""Decades at the low end that show the loss before it falls, and its noise."""
CLEAR = 3.75
"""Standard errors of a fall that all sweeps together must exceed: of some ten independent points of a curve, the lowest
is looked at. Sweeps of a model on random tokens, five seeds, reach 2.5; those of tasks that can be learnt 4 to 11."""
SEEN = 2.0
"""Standard errors from which the fall of one sweep counts: three of them are clear together."""
BEGUN = 0.1
"""Share of the whole fall from which the loss counts as falling."""
RISEN = 0.5
"""Share of the fall that the loss must have climbed again beyond the valley to count as diverging."""
CLIPPED = 3.0
"""Losses are cut off at so many falls above the start: a diverged loss of 1e6 must not bend the curve before it."""
AGREE = 1.3
"""Decades between the valleys of two sweeps from which they say nothing together."""
MARGIN, EDGE_MARGIN = 3.5, 4.0
"""Divisors of the earliest valley and edge of divergence that give the rate for a whole training.

A sweep passes over each rate in few updates, before it can diverge. On four small tasks with three optimizers each,
the loss after 300 updates at a valley divided by 3 to 4 came nearest to the best of a grid (median 1.11 times)."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Bracket and suggestion; `why` there is no suggestion."""

    bracket: RateBracket | None = None
    suggestion: RateSuggestion | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Landmarks of one sweep, as decimal logarithms of rates."""

    falls_from: float | None
    steepest: float
    valley: float
    edge: float | None
    """Where it diverges; None if it did not."""
    at_end: bool
    """True if the loss still fell at the highest rate."""
    clearness: float = math.inf
    """Its fall in standard errors."""

    @property
    def suggestion(self) -> float:
        inside = self.valley - math.log10(MARGIN)
        return inside if self.edge is None else min(inside, self.edge - math.log10(EDGE_MARGIN))


def judge(sweeps: Sequence[RateSweep], reference: Sequence[float] = ()) -> Judgement:
    """Return what the sweeps say of the rate."""
    if not sweeps:
        return Judgement(why="no sweep was completed")
    shapes = [shape for sweep in sweeps if (shape := shape_of(sweep, reference)) is not None]
    if sum(shape.clearness for shape in shapes) <= CLEAR * math.sqrt(len(sweeps)):
        return Judgement(why=_why_flat(sweeps))
    bracket = RateBracket(
        falls_from=_middle([shape.falls_from for shape in shapes]),
        steepest=10 ** statistics.median(shape.steepest for shape in shapes),
        valley=10 ** statistics.median(shape.valley for shape in shapes),
        diverges_from=_middle([shape.edge for shape in shapes]),
    )
    valleys = [shape.valley for shape in shapes]
    if len(shapes) < len(sweeps) and len(shapes) == 1:
        return Judgement(bracket=bracket, why=f"the loss fell clearly in only one of {len(sweeps)} sweeps")
    if max(valleys) - min(valleys) > AGREE:
        return Judgement(
            bracket=bracket,
            why=f"the sweeps disagree: the loss is lowest at rates from {10 ** min(valleys):.2g} to "
            f"{10 ** max(valleys):.2g}",
        )
    if all(shape.at_end for shape in shapes):
        return Judgement(
            bracket=bracket, why="the loss still falls at the highest rate of the test: larger ones may be better"
        )
    found = [shape.suggestion for shape in shapes]
    suggestion = RateSuggestion(
        rate=10 ** min(found), low=10 ** (min(found) - BANDWIDTH / 2), high=10 ** (max(found) + BANDWIDTH / 2)
    )
    return Judgement(bracket=bracket, suggestion=suggestion)


def shape_of(sweep: RateSweep, reference: Sequence[float] = ()) -> Shape | None:
    """Return the landmarks of a sweep; None if its loss does not fall by more than its noise."""
    places = [math.log10(rate) for rate in sweep.rates]
    values = differences(sweep, reference)
    count = next((place for place, value in enumerate(values) if not math.isfinite(value)), len(values))
    begin = [value for place, value in zip(places, values[:count], strict=False) if place <= places[0] + START]
    if len(begin) < 3 or count < len(begin) + 3:
        return None
    level = statistics.median(begin)
    first = smoothed(places[:count], values[:count])
    clipped = [min(value, level + CLIPPED * max(level - min(first), 1e-12)) for value in values[:count]]
    curve = smoothed(places[:count], clipped)
    lowest = min(range(count), key=curve.__getitem__)
    fall = level - curve[lowest]
    averaged = max(1.0, sum(1 for place in places if place <= places[0] + 2 * BANDWIDTH) / 2)
    # The losses less those of the reference scatter the more, the further the rates have moved the parameters.
    near = [at for at in range(count) if abs(places[at] - places[lowest]) <= BANDWIDTH]
    valley_noise = _noise([clipped[at] for at in near], [curve[at] for at in near]) * _of_few(len(near))
    all_noise = _noise(clipped, curve)
    error = math.hypot(
        max(valley_noise, all_noise) / math.sqrt(averaged), all_noise * math.sqrt(math.pi / 2 / len(begin))
    )
    if fall <= SEEN * error:
        return None
    begun = next(
        (at for at in range(lowest + 1) if all(level - v > BEGUN * fall for v in curve[at : lowest + 1])), None
    )
    slopes = [(curve[at] - curve[at - 1]) / (places[at] - places[at - 1]) for at in range(1, lowest + 1)]
    steepest = min(range(len(slopes)), key=slopes.__getitem__) if slopes else 0
    risen = [at for at in range(lowest, count) if curve[at] > curve[lowest] + RISEN * fall]
    edge = places[risen[0]] if risen else places[min(count, len(places) - 1)] if sweep.ended != "complete" else None
    return Shape(
        falls_from=None if begun is None else places[begun],
        steepest=(places[steepest] + places[steepest + 1]) / 2 if slopes else places[0],
        valley=places[lowest],
        edge=edge,
        at_end=edge is None and lowest >= count - 2,
        clearness=fall / error if error else math.inf,
    )


def _noise(values: Sequence[float], curve: Sequence[float]) -> float:
    """Return the standard deviation of single losses about the curve, by the median of their distances."""
    left = [abs(value - mean) for value, mean in zip(values, curve, strict=True)]
    return 1.4826 * statistics.median(left) if left else 0.0


def _of_few(count: int) -> float:
    """Return the factor for deviations from a line that was fitted to so few points."""
    return math.sqrt(count / (count - 2)) if count > 2 else math.inf


def _middle(logarithms: Sequence[float | None]) -> float | None:
    known = [value for value in logarithms if value is not None]
    return 10 ** statistics.median(known) if 2 * len(known) >= len(logarithms) and known else None


def _why_flat(sweeps: Sequence[RateSweep]) -> str:
    if all(sweep.ended == "complete" for sweep in sweeps):
        return "no rate changed the loss by more than its own noise"
    return "the loss did not fall clearly at any rate before it diverged"

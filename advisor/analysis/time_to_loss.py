"""Training curves read for one question: when is a loss reached, and what is the loss after a time.

Losses of single updates are noise around what is learnt. They are read through a trailing mean of about a tenth of the
horizon, without its wildest values, so that both sides of a comparison lag alike.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ..types import JudgedBy, LossCurve

POINTS = 400
"""Points that a long curve is thinned to: means of neighbours, finer than any chart and than the smoothing."""
WINDOW = 0.1
"""Fraction of the curve's points in the trailing mean. A shorter one makes the target the luck of a few batches; a
longer one hides what a schedule does in its last tenth."""
TRIMMED = 0.1
"""Fraction of a window's values that is left out at each end: one spike must not delay a target."""
FEWEST_POINTS = 20
"""Losses of updates below which nothing is said; an evaluation's loss is a mean over many batches, and fewer do."""
FEWEST_EVALUATIONS = 4
FALLS = 3.0
"""Standard errors by which the smoothed loss must have fallen; two would be seen by chance in one of 20 curves."""
DIVERGED = 4.0
"""Standard deviations of single losses by which the end must lie above the beginning to count as diverged."""
RISING = 2
"""Evaluations behind the lowest from which the loss can be said to rise again."""
MANY_EVALUATIONS = 8
"""Evaluations from which all of them show their noise; of fewer, those before the lowest bend too much."""
CLIMBS = 2.0
"""Standard deviations of a rank correlation from which the losses behind the lowest count as climbing."""
ROSE = 0.02
"""Part of the whole fall by which evaluations must have climbed again to count as rising,"""
ROSE_NOISE = 3.0
"""and standard deviations of single evaluations: on a plateau, the lowest of many lies two below the last by chance."""
LASTING = 5
"""Non-finite losses in a row at the end from which a training does not recover; a loss scaler skips fewer."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Loss to be reached, and how a curve reaches it."""

    loss: float
    reached_s: float
    """Seconds until the baseline first reaches it: before its end if it then stays on a plateau."""
    judged_by: JudgedBy = "end"
    """`lowest` if the loss rises again afterwards."""


@dataclass(frozen=True, kw_only=True)
class Unclear:
    """Reason why a curve sets no target."""

    why: str
    is_seen: bool = False
    """True if enough of its losses are known: those at the end can be compared, though none was reached."""


def binned(curve: LossCurve, most: int = POINTS) -> LossCurve:
    """Return the curve with at most `most` points: means of neighbouring losses, at the end of each group.

    A group with a loss that is not finite has none.
    """
    size = math.ceil(len(curve) / most)
    if size <= 1:
        return curve
    starts = range(0, len(curve), size)
    ends = [min(start + size, len(curve)) for start in starts]
    return LossCurve(
        updates=tuple(curve.updates[end - 1] for end in ends),
        seconds=tuple(curve.seconds[end - 1] for end in ends),
        losses=tuple(_mean(curve.losses[start:end]) for start, end in zip(starts, ends, strict=True)),
        samples=None if curve.samples is None else tuple(curve.samples[end - 1] for end in ends),
    )


def smoothed(curve: LossCurve) -> LossCurve:
    """Return the trailing trimmed mean of the losses; where a window holds a non-finite loss, there is none."""
    curve = binned(curve)
    width = _width(len(curve))
    losses = [_trimmed_mean(curve.losses[max(0, end - width) : end]) for end in range(1, len(curve) + 1)]
    return LossCurve(updates=curve.updates, seconds=curve.seconds, losses=tuple(losses), samples=curve.samples)


def end_loss(curve: LossCurve) -> float | None:
    """Return the smoothed loss at the end; None if it is not finite or nothing was seen."""
    found = smoothed(curve)
    return found.losses[-1] if len(found) else None


def loss_at(curve: LossCurve, seconds: float) -> float | None:
    """Return the smoothed loss after so many seconds; at the end if the training was over by then."""
    found = smoothed(curve)
    place = bisect.bisect_right(found.seconds, seconds)
    return found.losses[place - 1] if place else None


def judged_loss(curve: LossCurve, judged_by: JudgedBy = "end", seconds: float = math.inf) -> float | None:
    """Return the loss that counts: the last of the smoothed ones until so many seconds, or the lowest as it was."""
    if judged_by == "end":
        return loss_at(curve, seconds)
    found = binned(curve)
    known = (loss for at, loss in zip(found.seconds, found.losses, strict=True) if loss is not None and at <= seconds)
    return min(known, default=None)


def until(curve: LossCurve, seconds: float) -> LossCurve:
    """Return the part of the curve up to this time."""
    return _first(curve, bisect.bisect_right(curve.seconds, seconds))


def up_to_update(curve: LossCurve, update: int) -> LossCurve:
    """Return the part of the curve up to this update."""
    return _first(curve, bisect.bisect_right(curve.updates, update))


def update_s(curve: LossCurve) -> float:
    """Return the time of an update: the median over the curve, since other programs only ever make some longer."""
    points = list(zip(curve.updates, curve.seconds, strict=True))
    steps = [(two[1] - one[1]) / (two[0] - one[0]) for one, two in itertools.pairwise(points) if two[0] > one[0]]
    return statistics.median(steps) if steps else (curve.seconds[-1] / curve.updates[-1] if points else 0.0)


def at_pace(curve: LossCurve, pace_s: float) -> LossCurve:
    """Return the curve as if every update took so long."""
    seconds = tuple(pace_s * update for update in curve.updates)
    return LossCurve(updates=curve.updates, seconds=seconds, losses=curve.losses, samples=curve.samples)


def time_to(curve: LossCurve, loss: float, judged_by: JudgedBy = "end") -> float | None:
    """Return the seconds until the loss is first this low, between two points in proportion; None if never.

    It is smoothed, unless the lowest counts: that is the value of one checkpoint, and smoothing would fill its trough.
    """
    found = smoothed(curve) if judged_by == "end" else binned(curve)
    before: tuple[float, float] | None = None
    for seconds, value in zip(found.seconds, found.losses, strict=True):
        if value is None:
            before = None
            continue
        if value <= loss:
            if before is None or before[1] <= value:
                return seconds
            share = (before[1] - loss) / (before[1] - value)
            return before[0] + share * (seconds - before[0])
        before = (seconds, value)
    return None


def target_of(baseline: LossCurve, *, of_evaluations: bool = False) -> Target | Unclear:
    """Return what the baseline reaches at the end of its curve; the reason if no target can be set.

    Where the losses of evaluations fall and rise again, it is the lowest that is to be reached: the best checkpoint.
    """
    rises = of_evaluations and rises_again(baseline)
    why = _why_unseen(baseline, of_evaluations=of_evaluations)
    if why:
        return Unclear(why=why)
    why = _why_not_fallen(baseline, of_evaluations=of_evaluations, rises=rises)
    judged_by: JudgedBy = "lowest" if rises else "end"
    loss = judged_loss(baseline, judged_by)
    reached_s = time_to(baseline, loss, judged_by) if loss is not None else None
    if why or loss is None or reached_s is None:
        return Unclear(why=why, is_seen=True)
    return Target(loss=loss, reached_s=reached_s, judged_by=judged_by)


def _why_unseen(baseline: LossCurve, *, of_evaluations: bool) -> str:
    """Return why the curve says nothing of the training; empty if it does."""
    fewest = FEWEST_EVALUATIONS if of_evaluations else FEWEST_POINTS
    if len(baseline) < fewest:
        what = "evaluation" if of_evaluations else "update"
        return f"the losses of {len(baseline)} {what}s were seen, and {fewest} are needed"
    if all(loss is None for loss in baseline.losses):
        return "its loss is not known: what it differentiates is not a single finite number"
    return ""


def _why_not_fallen(baseline: LossCurve, *, of_evaluations: bool, rises: bool) -> str:
    """Return why there is no loss to reach; empty if there is."""
    end = end_loss(baseline)
    if end is None:
        why = "its loss is not a finite number at the end"
    elif of_evaluations:
        began = next(loss for loss in baseline.losses if loss is not None)
        within = f"in {baseline.updates[-1]:,} updates, and is {end:.4g} at the end"
        stays = f"the loss of its evaluations does not stay below where it began, {began:.4g}, {within}"
        why = "" if rises or _evaluations_fall(baseline) else stays
    elif has_diverged(baseline):
        why = f"its loss rises, to {end:.4g} at the end"
    else:
        fall = f"its loss does not fall within its own noise over {baseline.updates[-1]:,} updates"
        why = "" if _falls(baseline) else fall
    return why


def rises_again(curve: LossCurve) -> bool:
    """Return whether the losses of evaluations fell, and rose again by more than they scatter."""
    points = [loss for loss in smoothed(curve).losses if loss is not None]
    if len(points) < FEWEST_EVALUATIONS:
        return False
    place = min(range(len(points)), key=points.__getitem__)
    behind = points[place + 1 :]
    if not place or len(behind) < RISING:
        return False
    lowest, last = points[place], statistics.fmean(behind[-RISING:])
    fall, rise = points[0] - lowest, last - lowest
    # Not of the smoothed ones: neighbours among these hold the same losses.
    singles = [loss for loss in binned(curve).losses if loss is not None]
    needed = ROSE_NOISE * _scatter_of_means(singles if len(singles) >= MANY_EVALUATIONS else points[place:])
    return fall > needed and rise > ROSE * fall and (rise > needed or _climbs(behind[:: _width(len(curve))]))


def _climbs(values: Sequence[float]) -> bool:
    """Return whether later values are the higher ones more often than by chance (Mann 1945, Kendall)."""
    count = len(values)
    ranks = sum((two > one) - (two < one) for one, two in itertools.combinations(values, 2))
    return ranks - 1 > CLIMBS * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)


def _evaluations_fall(curve: LossCurve) -> bool:
    """Return whether the last losses are lower than the first two, and many of them by more than they scatter.

    Each is a mean itself: a few neighbours differ because the loss falls, not by chance.
    """
    known, (_begin, end) = [loss for loss in binned(curve).losses if loss is not None], _ends(curve)
    begin = known[:2]
    needed = ROSE_NOISE * _scatter_of_means(known) if len(known) >= MANY_EVALUATIONS else 0.0
    return bool(end) and max(end) < min(begin) and statistics.fmean(begin) - statistics.fmean(end) > needed


def has_diverged(curve: LossCurve) -> bool:
    """Return whether the training broke: losses that are no longer finite, or clearly higher than at the beginning."""
    tail = curve.losses[-min(LASTING, len(curve)) :]
    if tail and all(loss is None for loss in tail) and any(loss is not None for loss in curve.losses):
        return True
    begin, end = _ends(curve)
    if len(begin) < 2 or len(end) < 2:
        return False
    return statistics.fmean(end) > statistics.fmean(begin) + DIVERGED * max(
        statistics.stdev(begin), 0.01 * abs(statistics.fmean(begin))
    )


def _falls(curve: LossCurve) -> bool:
    """Return whether the loss fell by more than noise from the curve's first part to its last."""
    begin, end = _ends(curve)
    if not begin or not end:
        return False
    fallen = statistics.fmean(begin) - statistics.fmean(end)
    # Within the first part the loss falls itself, which is not noise: neighbours tell the scatter.
    error = math.sqrt(_scatter(begin) ** 2 / len(begin) + _scatter(end) ** 2 / len(end))
    return fallen > max(0.0, FALLS * error)


def _ends(curve: LossCurve) -> tuple[list[float], list[float]]:
    """Return the finite losses of the first and of the last part."""
    points = binned(curve)
    width = max(2, _width(len(points)))
    first, last = points.losses[:width], points.losses[-width:]
    return [loss for loss in first if loss is not None], [loss for loss in last if loss is not None]


def _scatter(values: Sequence[float]) -> float:
    """Return the standard deviation around a slow change, from differences of neighbours (von Neumann 1941)."""
    if len(values) < 2:
        return 0.0
    squares = [(one - two) ** 2 for one, two in itertools.pairwise(values)]
    return math.sqrt(statistics.fmean(squares) / 2)


def _scatter_of_means(values: Sequence[float]) -> float:
    """Return the standard deviation about a line through neighbours: few evaluations differ mostly by their course."""
    bends = [abs(one - 2 * two + three) for one, two, three in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * statistics.median(bends) / math.sqrt(6) if bends else 0.0


def _width(count: int) -> int:
    return max(1, round(WINDOW * count))


def _first(curve: LossCurve, count: int) -> LossCurve:
    return LossCurve(
        updates=curve.updates[:count],
        seconds=curve.seconds[:count],
        losses=curve.losses[:count],
        samples=None if curve.samples is None else curve.samples[:count],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _trimmed_mean(values: Sequence[float | None]) -> float | None:
    known = sorted(value for value in values if value is not None)
    if len(known) < len(values):
        return None
    left_out = int(TRIMMED * len(known))
    return statistics.fmean(known[left_out : len(known) - left_out])

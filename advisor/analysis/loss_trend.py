"""Trend of the training loss over the updates that no setting has touched."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from .. import stats, wire
from ..runtime.session_result import SessionResult
from ..types import LossTrend

LEAST_LOSSES = 20
"""Fewest losses that make a trend."""
TREND_PARTS = 12
"""Parts of the losses whose means are the trend; between them it is a straight line."""
SLOPE_PARTS = 12
"""Means of that many parts of a half give its slope: single losses are too noisy for it."""
SPIKE = 8.0
"""Robust standard deviations above the losses before it from which a loss is a spike: no normal noise reaches that."""
SPIKE_RISE = 0.25
"""Part of the first losses by which a spike must stand out besides: small losses have long tails."""
BEFORE_SPIKE = 25
"""Losses before it that a spike is compared with."""
FIRST_LOSSES = 5
LEAST_ALTERNATING = 40
"""Losses from which the correlation of neighbours is told: its standard error is then 0.16."""
APART = 5
"""Losses between two spikes that belong to one burst."""

UNCHANGED = ("measure", "bare", "trace", "device_trace", "drain", "epoch_end")
"""Kinds of windows in which the script trains as it would alone."""

Point = tuple[int, float]
"""Number of an update and its loss."""


def points(result: SessionResult) -> tuple[list[Point], int]:
    """Return the losses of the first script run until a window changes the training, and the number of non-finite ones.

    What-ifs repeat batches or leave out updates, and settings change the arithmetic: later losses are not the script's.
    """
    done = [outcome for outcome in result.outcomes.values() if isinstance(outcome, wire.WindowDone)]
    if not done:
        return [], 0
    first = min(result.script_run_of[window.id] for window in done)
    found: list[Point] = []
    broken = 0
    for window in sorted(done, key=lambda each: each.start_s):
        planned = result.windows[window.id]
        if result.script_run_of[window.id] != first or window.updates_before is None:
            continue
        if planned.config or (planned.what_if and planned.kind != "drain") or planned.kind not in UNCHANGED:
            break
        broken += int(window.extra.get("nan_losses", 0))
        begin = window.updates_before
        found += [(begin + at, loss) for at, loss in enumerate(window.losses) if loss is not None]
    return found, broken


def loss_trend(seen: Sequence[Point], non_finite: int = 0) -> LossTrend | None:
    """Return the trend of these losses; None for too few."""
    if len(seen) < LEAST_LOSSES:
        return None
    losses = [loss for _update, loss in seen]
    trend = _trend(losses)
    residuals = [loss - level for loss, level in zip(losses, trend, strict=True)]
    noise = statistics.pstdev(residuals)
    tenth = max(3, len(losses) // 10)
    half = len(seen) // 2
    late = _slope(seen[half:])
    return LossTrend(
        updates=len(seen),
        first=seen[0][0],
        last=seen[-1][0],
        start=statistics.fmean(losses[:tenth]),
        end=statistics.fmean(losses[-tenth:]),
        error=noise * math.sqrt(2 / tenth),
        noise=noise,
        early_slope=_slope(seen[:half]).value,
        late_slope=late.value,
        late_low=late.low,
        late_high=late.high,
        spikes=_spikes(losses),
        highest=max(losses),
        alternation=_neighbours(residuals) if len(losses) >= LEAST_ALTERNATING else None,
        non_finite=non_finite,
    )


def _trend(losses: Sequence[float]) -> list[float]:
    """Return the level at each loss: straight lines between the means of parts."""
    pieces = stats.parts(losses, min(TREND_PARTS, len(losses) // 5))
    sizes = [len(piece) for piece in pieces]
    centres = [end - size / 2 - 0.5 for end, size in zip(itertools.accumulate(sizes), sizes, strict=True)]
    means = [statistics.fmean(piece) for piece in pieces]
    return [_between(at, centres, means) for at in range(len(losses))]


def _between(at: float, centres: Sequence[float], means: Sequence[float]) -> float:
    right = next((index for index, centre in enumerate(centres) if centre >= at), len(centres) - 1)
    right = max(1, right)
    low, high = centres[right - 1], centres[right]
    return means[right - 1] + (means[right] - means[right - 1]) * (at - low) / (high - low)


def _slope(seen: Sequence[Point]) -> stats.Interval:
    pieces = [piece for piece in stats.parts(seen, min(SLOPE_PARTS, len(seen))) if piece]
    xs = [statistics.fmean(update for update, _loss in piece) for piece in pieces]
    ys = [statistics.fmean(loss for _update, loss in piece) for piece in pieces]
    return stats.theil_sen(xs, ys)


def _spikes(losses: Sequence[float]) -> int:
    """Count the bursts above the losses before them."""
    bursts, last = 0, -math.inf
    least = SPIKE_RISE * statistics.median(map(abs, losses[:FIRST_LOSSES]))
    before: list[float] = list(losses[:BEFORE_SPIKE])
    for at in range(BEFORE_SPIKE, len(losses)):
        level = statistics.median(before)
        loss = losses[at]
        if loss - level > least:  # rarely so; the rest costs time
            deviation = statistics.median(abs(one - level) for one in before) * 1.4826
            if loss - level > SPIKE * deviation:
                bursts += at - last > APART
                last = at
                continue  # what follows is compared with the losses before the burst
        before = [*before[1:], loss]
    return bursts


def _neighbours(residuals: Sequence[float]) -> float | None:
    whole = math.fsum(value * value for value in residuals)
    return math.fsum(one * two for one, two in itertools.pairwise(residuals)) / whole if whole > 0 else None

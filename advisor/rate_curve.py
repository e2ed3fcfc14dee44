"""Loss over the logarithm of the learning rate, as a range test's judgement and its picture read it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .types import RateSweep

BANDWIDTH = 0.45
"""Half width of the smoothing in decades: about nine updates of a sweep of 50 over five decades."""


def differences(sweep: RateSweep, reference: Sequence[float]) -> list[float]:
    """Return the losses of a sweep less those of the same updates at a rate of 0; infinity for one that is no number.

    Without such a reference, the losses are returned as they are.
    """
    base = list(reference) if len(reference) >= len(sweep.losses) else [0.0] * len(sweep.losses)
    return [math.inf if loss is None else loss - own for loss, own in zip(sweep.losses, base, strict=False)]


def smoothed(places: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return the values of local lines, each fitted to its neighbours within the bandwidth (LOESS, first degree)."""
    return [_line_at(places, values, at) for at in places]


def _line_at(places: Sequence[float], values: Sequence[float], at: float) -> float:
    near = [
        ((1 - (abs(place - at) / BANDWIDTH) ** 3) ** 3, place - at, value)
        for place, value in zip(places, values, strict=True)
        if abs(place - at) < BANDWIDTH
    ]
    weight = sum(w for w, _x, _y in near)
    x_mean = sum(w * x for w, x, _y in near) / weight
    y_mean = sum(w * y for w, _x, y in near) / weight
    spread = sum(w * (x - x_mean) ** 2 for w, x, _y in near)
    slope = sum(w * (x - x_mean) * y for w, x, y in near) / spread if spread > 1e-12 else 0.0
    return y_mean - slope * x_mean

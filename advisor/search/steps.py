"""Steps forward of a search: the best configuration so far, on which the next trials build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..types import Trial
from .space import KEEPS_TRAINING

A_STEP = 0.02
"""Fraction by which a configuration must beat the best so far to take its place: two windows of one configuration
differ by as much, and of two alike the earlier one has fewer settings."""
CLEAR = 1.5
"""Lower end of a gain's interval from which it is proven before further looks at it: fresh processes decide it soon."""
Among = Literal["keeping", "all"]


def best_so_far(trials: Iterable[Trial], among: Among = "keeping") -> Trial | None:
    """Return the last step forward: the trial that clearly beat the best before it; None if none beat the baseline.

    `keeping` leaves out trials that change the training. A doubtful one is no step: later trials would build on luck.
    """
    best: Trial | None = None
    for trial in trials:
        if not trial.config.settings or trial.score is None:
            continue
        if (among == "keeping" and trial.effect not in KEEPS_TRAINING) or trial.is_doubtful:
            continue
        if trial.score > (1 + A_STEP) * (best.score or 1.0 if best is not None else 1.0):
            best = trial
    return best


def clear_gain(best: Trial | None) -> float | None:
    """Return the speed-up of a trial whose gain is beyond doubt in live windows; None if it is not."""
    if best is None or best.ratio is None or best.ratio.low < CLEAR:
        return None
    return best.ratio.speedup

"""Steps forward of a search: the best configuration so far, on which the next trials build."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..types import Trial
from .space import KEEPS_TRAINING

A_STEP = 0.02
"""Fraction by which a configuration must beat the best so far to take its place: two windows of one configuration
differ by as much, and of two alike the earlier one has fewer settings."""
MOST_DOUBT = 0.05
"""Fraction by which a step may be one back, by its interval: with more doubt, later trials would build on luck."""
Among = Literal["keeping", "all"]


def best_so_far(trials: Iterable[Trial], among: Among = "keeping") -> Trial | None:
    """Return the last step forward: the trial that clearly beat the best before it; None if none beat the baseline.

    `keeping` leaves out trials that change the training.
    """
    best: Trial | None = None
    for trial in trials:
        if not trial.config.settings or trial.score is None:
            continue
        if (among == "keeping" and trial.effect not in KEEPS_TRAINING) or _is_doubtful(trial):
            continue
        if trial.score > (1 + A_STEP) * (best.score or 1.0 if best is not None else 1.0):
            best = trial
    return best


def _is_doubtful(trial: Trial) -> bool:
    measured = trial.step or trial.ratio
    return measured is not None and measured.low < min(1.0, measured.speedup) - MOST_DOUBT

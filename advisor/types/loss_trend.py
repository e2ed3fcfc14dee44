"""Course of the training loss over the updates seen, and how much of a training it lets one leave out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LossTrend:
    """Losses of the script's own updates, before any window that changes the training."""

    updates: int
    """Losses seen."""
    first: int
    """Number of the first update seen, in its script run."""
    last: int
    start: float
    """Mean of the first tenth of the losses."""
    end: float
    """Mean of the last tenth."""
    error: float
    """Standard error of `end - start`, by the spread around the trend."""
    noise: float
    """Standard deviation of a loss around its trend."""
    early_slope: float
    """Change per update over the first half."""
    late_slope: float
    """Change per update over the later half, with its 95% interval."""
    late_low: float
    late_high: float
    spikes: int = 0
    """Separate bursts far above the trend."""
    highest: float = 0.0
    """The highest loss."""
    alternation: float | None = None
    """Correlation of neighbouring deviations from the trend: below zero, losses swing from update to update. None for
    too few losses."""
    non_finite: int = 0
    """Losses that were not finite."""


@dataclass(frozen=True, kw_only=True)
class EarlyStop:
    """Update from which the configured training is expected to add nothing that counts."""

    seen: int
    """Updates that the fit knows of."""
    planned: int
    stop_at: int | None = None
    """The update from which the most that may still be gained is below `tolerance`; None if there is none."""
    low: int | None = None
    """The update from which the likeliest gain is below it."""
    tolerance: float = 0.0
    """Change of the loss that does not count."""
    left: float = 0.0
    """Fall of the loss that is expected from the last update seen to the planned end, with its 95% interval."""
    left_low: float = 0.0
    left_high: float = 0.0
    why_not: str = ""
    """Reason why nothing can be said; "" if something can."""

    @property
    def saved_fraction(self) -> float:
        """Part of the planned updates that adds nothing."""
        return 0.0 if self.stop_at is None else max(0.0, 1 - self.stop_at / self.planned)

"""Rise of an update's time over a script run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .measurement import HotLine


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Robust trend of the time of an update, from updates of the baseline with batches of like size."""

    updates: int
    """Updates that the trend rests on."""
    through: int
    """Updates of the script run by the end of the last of them."""
    slope_s: float
    """Seconds that an update takes longer than the one before."""
    low_s: float
    """Lower end of the slope's 95% interval."""
    high_s: float
    start_s: float
    """Time of an update at the start of the script run, by the trend."""
    mean_s: float
    """Mean of the updates from the start to `through`, by the trend."""
    end_s: float
    """Time of the last update, by the trend."""
    goes_on: bool
    """True if the later half rises as well, and at least half as fast."""
    phases: Mapping[str, float] = field(default_factory=dict)
    """Share of the rise by phase."""
    hooks: tuple[int, int] | None = None
    """Hooks that the script had registered at the start and at the end of these updates; None if not counted."""
    hooks_per_update: float | None = None
    """Hooks that an update leaves behind."""
    lines: tuple[HotLine, ...] = ()
    """Lines whose time rises, with their share of the rise, the largest first; empty if no later sample was taken."""

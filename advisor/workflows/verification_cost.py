"""Approximate cost of verifying in fresh processes, for what a search must leave to it."""

from __future__ import annotations

from dataclasses import dataclass

from ..verification import windows

ENDED_S = 0.5
"""Seconds to end a process and remove its isolated view."""
SLOWED_BY = 1.5
"""Time of two starts side by side, relative to one: they share CPUs and disk."""


@dataclass(frozen=True, kw_only=True)
class VerificationCost:
    update_s: float
    """Length of an update; 0 if the script's pace is not known."""
    start_up_s: float
    side_by_side: bool
    """True if the processes of a round may start together: isolation keeps them apart."""

    @property
    def process_s(self) -> float:
        """Seconds of one process; 0 if the script's pace is not known."""
        if not self.update_s:
            return 0.0
        window_s = min(max(windows.WINDOW_S, windows.UPDATES * self.update_s), windows.MOST_WINDOW_S)
        return self.start_up_s + windows.WARM_UP_UPDATES * self.update_s + window_s + ENDED_S

    @property
    def round_s(self) -> float:
        """Seconds of a round."""
        starts_s = (SLOWED_BY if self.side_by_side else 2) * self.start_up_s
        return starts_s + 2 * (self.process_s - self.start_up_s) if self.update_s else 0.0

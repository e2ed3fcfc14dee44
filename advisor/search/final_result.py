"""Final result for a configuration, and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Ratio


@dataclass(frozen=True, kw_only=True)
class FinalResult:
    """Final result for a configuration."""

    ratio: Ratio
    score: float
    fresh: bool
    """True if it comes from windows run after it was chosen: the numbers of the search itself are too good to be
    true."""

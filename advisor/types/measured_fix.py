"""Gain of a setting that a profile tried for a few windows."""

from __future__ import annotations

from dataclasses import dataclass

from .measurement import SettingValue


@dataclass(frozen=True, kw_only=True)
class MeasuredFix:
    """One setting, switched live for a few windows beside the baseline's."""

    knob: str
    value: SettingValue
    effect: str
    """What it does to the training: exact, resampled or numerics; a profile tries nothing else."""
    speedup: float
    low: float
    high: float
    """95% interval."""
    rounds: int
    prompted: bool = True
    """True if a finding names the knob."""

    @property
    def setting(self) -> str:
        return f"{self.knob}={self.value}"

    @property
    def expected(self) -> float:
        """Return the speed-up midway between the interval's low end and its middle: what is uncertain counts half."""
        return (self.low + self.speedup) / 2

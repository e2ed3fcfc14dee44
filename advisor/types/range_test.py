"""Range test of the learning rate: losses of a training whose rate is raised over decades, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

from ._named import counted
from .command import Command
from .measurement import Failure

RANGE_TEST_VERSION = 1
"""Version of the document that `lr --json` prints."""

WIDE = 10.0
"""Highest over lowest rate of an interval from which the test does not tell its rates apart: a grid would have three
rates within it, of which one is clearly better in most trainings."""


@dataclass(frozen=True, kw_only=True)
class RateSweep:
    """One sweep: the loss of each update, before it was made with its rate."""

    rates: tuple[float, ...]
    losses: tuple[float | None, ...]
    """None for a loss that is no number."""
    ended: str
    """`complete`, `diverged` or `not finite`."""


@dataclass(frozen=True, kw_only=True)
class RateBracket:
    """Range of rates that train. None where the curves do not show an end of it."""

    falls_from: float | None
    """Least rate from which the loss falls."""
    steepest: float
    """Rate at which it falls most."""
    valley: float
    """Rate at which it is lowest."""
    diverges_from: float | None
    """Rate from which it diverges."""


@dataclass(frozen=True, kw_only=True)
class RateSuggestion:
    """Peak rate for the main optimizer's first group."""

    rate: float
    low: float
    high: float
    """Interval of the sweeps."""

    @property
    def is_wide(self) -> bool:
        """Return whether the rates of the interval differ too much for one of them to be named."""
        return self.high >= WIDE * self.low


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """A range test and its judgement."""

    command: Command
    script_rate: float | None = None
    """Peak rate of the script as written."""
    optimizer: str | None = None
    sweeps: tuple[RateSweep, ...] = ()
    reference: tuple[float, ...] = ()
    """Losses of the same updates at a rate of 0; empty if the same batches did not come again."""
    updates: int = 0
    """Updates that the test took, all in all."""
    bracket: RateBracket | None = None
    suggestion: RateSuggestion | None = None
    abstained: str = ""
    """Reason why there is no suggestion."""
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
    run_folder: str = ""

    def __repr__(self) -> str:
        rate = "none" if self.suggestion is None else f"{self.suggestion.rate:.2g}"
        own = "unknown" if self.script_rate is None else f"{self.script_rate:g}"
        return f"<{type(self).__name__} {counted(len(self.sweeps), 'sweep')}, script {own}, suggestion {rate}>"

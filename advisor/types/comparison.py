"""Two versions of a script run against each other, now and interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ._named import counted, named
from .command import Command

VERSIONS_VERSION = 1
"""Of the document that `compare --against --json` prints."""

Side = Literal["before", "after"]
SpeedStatus = Literal["faster", "slower", "no difference", "undecided"]
SpeedUnit = Literal["samples/s", "updates/s"]
GateStatus = Literal["passed", "failed", "undecided"]
FLOOR_PROCESSES = 3
"""Two processes may agree by chance, whatever the machine does: what noise is takes one more to say. (A gain that no
noise makes needs no floor: see `session/rounds.py`.)"""


@dataclass(frozen=True, kw_only=True)
class VersionRun:
    """One fresh process of one version: its steady updates."""

    side: Side
    updates: int
    seconds: float
    """Wall time of the updates, evaluation and kin between them included."""
    samples: int | None
    """None where they could not be counted."""
    disturbed: bool = False
    """Other programs kept a good part of the CPUs busy meanwhile."""

    def rate(self, by_samples: bool) -> float:
        """Samples, or updates, a second."""
        return (self.samples or 0 if by_samples else self.updates) / self.seconds


def own_spread(runs: Sequence[VersionRun], *, by_samples: bool) -> float | None:
    """How much faster the fastest process of the side before was than its slowest, less 1; None with fewer than two."""
    rates = [run.rate(by_samples) for run in runs if run.side == "before"]
    return max(rates) / min(rates) - 1 if len(rates) > 1 and min(rates) > 0 else None


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """Speed of the version after over the one before; 2 is twice as fast."""

    value: float
    low: float | None
    high: float | None
    """The interval of the paired processes; None with a single pair."""
    confidence: float | None
    """Of this interval: what was spent on earlier looks is taken off."""
    unit: SpeedUnit
    floor: float
    """Differences below this are taken as noise: 2%, or what the processes before differ among themselves, which is
    not known of fewer than three."""


@dataclass(frozen=True, kw_only=True)
class VersionComparison:
    """The result of `advisor compare --against`."""

    version: int = VERSIONS_VERSION
    advisor: str
    """Version of advisor that measured."""
    run_id: str
    created: str
    """ISO 8601, UTC."""
    command: Command
    """As it was run in the working tree."""
    against: str
    """The reference as it was given."""
    commit: str
    """What it meant."""
    ratio: SpeedRatio | None
    """None where not even one pair of processes was measured."""
    rounds: int
    """Pairs of processes that were measured."""
    planned_rounds: int
    status: SpeedStatus
    threshold: float | None
    """`--fail-below`"""
    gate: GateStatus | None
    """`failed` only where the whole interval lies below the threshold; None without one."""
    rounds_to_decide: int | None
    """About how many pairs would have decided; None where it is decided, or cannot be said."""
    isolation: str
    changed_files: tuple[str, ...]
    runs: tuple[VersionRun, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        ratio, gate = self.ratio, "" if self.gate is None else f"; gate {self.gate}"
        times = "" if ratio is None or self.status == "undecided" else f", {ratio.value:.2f} times as fast"
        rounds = counted(self.rounds, "round")
        sides = f"{named(self.command.display)} with {named(self.against)}"
        return f"<Comparison of {sides}: {self.status}{times}; {rounds}{gate}>"

"""Comparison of two versions of a script, run now and interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ._named import counted, named
from .command import Command

VERSIONS_VERSION = 1
"""Version of the document that `compare --against --json` prints."""

Side = Literal["before", "after"]
SpeedStatus = Literal["faster", "slower", "no difference", "undecided"]
SpeedUnit = Literal["samples/s", "updates/s"]
GateStatus = Literal["passed", "failed", "undecided"]
FLOOR_PROCESSES = 3
"""Fewest processes from which noise can be estimated: two may agree by chance, whatever the machine does. (A gain that
noise cannot produce needs no floor: see `verification/rounds.py`.)"""


@dataclass(frozen=True, kw_only=True)
class VersionRun:
    """One fresh process of one version, with its steady updates."""

    side: Side
    updates: int
    seconds: float
    """Wall time of the updates, including the evaluation and similar work between them."""
    samples: int | None
    """None if samples could not be counted."""
    disturbed: bool = False
    """True if other programs kept a good part of the CPUs busy meanwhile."""

    def rate(self, by_samples: bool) -> float:
        """Return samples, or updates, per second."""
        return (self.samples or 0 if by_samples else self.updates) / self.seconds


def own_spread(runs: Sequence[VersionRun], *, by_samples: bool) -> float | None:
    """Return the fastest "before" process's speed over the slowest's, less 1; None with fewer than two."""
    rates = [run.rate(by_samples) for run in runs if run.side == "before"]
    return max(rates) / min(rates) - 1 if len(rates) > 1 and min(rates) > 0 else None


@dataclass(frozen=True, kw_only=True)
class SpeedRatio:
    """Speed of the version after divided by that of the one before; 2 is twice as fast."""

    value: float
    low: float | None
    high: float | None
    """The interval of the paired processes; None with a single pair."""
    confidence: float | None
    """Confidence of this interval, less the part spent at earlier interim looks."""
    unit: SpeedUnit
    floor: float
    """Differences below this count as noise: 2%, or the standard error of the "before" processes, which is not known
    with fewer than three."""


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
    """The command as run in the working tree."""
    against: str
    """The reference as given."""
    commit: str
    """Commit that the reference resolved to."""
    ratio: SpeedRatio | None
    """None if not even one pair of processes was measured."""
    rounds: int
    """Pairs of processes measured."""
    planned_rounds: int
    status: SpeedStatus
    threshold: float | None
    """Value of `--fail-below`."""
    gate: GateStatus | None
    """`failed` only if the whole interval lies below the threshold; None without a threshold."""
    rounds_to_decide: int | None
    """Approximate number of pairs that would have decided; None if it is decided or cannot be estimated."""
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

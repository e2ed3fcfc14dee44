"""Input and output of the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ._installed import installed_name
from .device_use import DeviceUse
from .evaluation_use import EvaluationUse
from .growth import Growth
from .hardware import Hardware
from .loss_trend import EarlyStop, LossTrend
from .measured_fix import MeasuredFix
from .measurement import (
    Compute,
    EpochEnd,
    HotLine,
    LoaderRestarts,
    LoaderTimes,
    MemoryUse,
    Steps,
    SystemUse,
    Trace,
    WhatIf,
)
from .noise_scale import NoiseScale
from .ranks import Communication, Rank
from .workload import Workload

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything a rule may look at. Anything not measured is None or absent, never zero."""

    hardware: Hardware
    workload: Workload
    steps: Steps
    phases: Mapping[str, float]
    """Fraction of the update by phase; the fractions add up to 1."""
    off_step: Mapping[str, float]
    """Fraction of the loop's wall time: evaluation, checkpoint, logging, loader_restart (absent: none was seen)."""
    epoch_end: EpochEnd
    loop_s: float
    """Wall time of the measured loop, including the work between updates."""
    lines: tuple[HotLine, ...]
    loader: LoaderTimes | None
    restarts: LoaderRestarts | None
    what_ifs: Mapping[str, WhatIf]
    memory: MemoryUse
    compute: Compute
    trace: Trace | None
    system: SystemUse
    evaluation: EvaluationUse | None = None
    """None if no evaluation was seen."""
    growth: Growth | None = None
    """Trend of an update's time; None if too few updates with batches of like size were seen."""
    device_use: DeviceUse | None = None
    """The device's own clock; None on a CPU, and where it could not be read."""
    why_no_device_use: str = ""
    """Reason for none on an accelerator."""
    fixes: tuple[MeasuredFix, ...] = ()
    """Settings that were tried for a few windows."""
    losses: LossTrend | None = None
    """None for too few losses."""
    early_stop: EarlyStop | None = None
    noise_scale: NoiseScale | None = None
    """None if it was not measured."""
    ranks: tuple[Rank, ...] = ()
    """All ranks whose windows came; the other fields are those of rank 0."""
    communication: Communication | None = None
    """None for a single rank, and if the wait of one rank for others could not be seen."""

    @property
    def on_accelerator(self) -> bool:
        return self.workload.device != "cpu"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in the user's code, or in a library's that no line of the user's called."""

    file: str
    line: int
    function: str
    share: float | None = None
    library: str = ""
    """The installed package that does the work there; "" if the line itself does it."""

    @property
    def in_library(self) -> bool:
        """Return whether the line itself is the library's, not a user's line that calls it."""
        return bool(self.library and installed_name(self.file))


SHARE_ERROR = 0.01
"""Fraction of the loop by which a measured share may be wrong: cost of reading a clock, uncertain end of a line's
time."""
PROCESSES_DIFFER = 1.05
"""Factor between the speeds of two processes of one script on one machine, which windows of one process do not show."""
MOST_SHARE = 1 - 2 * SHARE_ERROR
"""Largest share that an estimate follows from: of what is left, half may be the error alone."""
LARGEST_SHARE = 1 - SHARE_ERROR / 2
"""Largest share that the upper end follows from: beyond it, the error is all that is left."""
REST_GAINS = 1.25
"""Factor by which the rest of the loop may speed up once what was in its way is gone (shared caches, memory, CPUs). On
labelled scripts it was 1.2; two processes of one script differ by up to a tenth."""


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """Upper bound on the gain from a fix, as a speed-up of the loop (1.0 is no gain): `high` at most."""

    speedup: float
    low: float
    high: float
    basis: Literal["measured", "measured fix", "share"]
    """`measured`: by a what-if, which takes the cost away; `measured fix`: by a setting that was tried; `share`:
    1 / (1 − share of the time)."""

    @classmethod
    def from_what_if(cls, what_if: WhatIf) -> Ceiling:
        return cls(speedup=what_if.speedup, low=what_if.low, high=what_if.high, basis="measured")

    @classmethod
    def from_fix(cls, fix: MeasuredFix) -> Ceiling:
        """Return the ceiling of a fix that was measured in one process, as others will run with it."""
        low, high = fix.low / PROCESSES_DIFFER, fix.high * PROCESSES_DIFFER
        speedup = max(1.0, fix.speedup)
        return cls(speedup=speedup, low=max(1.0, low), high=max(speedup, high), basis="measured fix")

    @classmethod
    def from_share(cls, share: float, *, low: float | None = None, high: float | None = None) -> Ceiling:
        """Return the ceiling if `share` of the time vanished.

        `low` and `high` are the smallest and largest share that may vanish. By default these are nothing at all, and
        `share` plus its possible error; beyond that the rest of the loop may speed up, too.
        """
        largest = max(share, high if high is not None else share) + SHARE_ERROR
        return cls(
            speedup=1 / (1 - min(share, MOST_SHARE)),
            low=1.0 if low is None else 1 / (1 - min(low, MOST_SHARE)),
            high=REST_GAINS / (1 - min(largest, LARGEST_SHARE)),
            basis="share",
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    rule: str
    severity: Severity
    share: float
    """Share of the loop's wall time, between 0 and 1."""
    evidence: str
    """One or two sentences with the numbers."""
    advice: str
    where: tuple[Place, ...] = ()
    ceiling: Ceiling | None = None
    """None if no speed-up follows from it (a warning about memory, for example)."""
    knobs: tuple[str, ...] = ()
    url: str | None = None
    library: str = ""
    """The installed package that does all of the work; "" if some of it is the script's own."""
    headline: str = ""
    """Description of the script, as the words after "Your script"; `{share}` stands for the share."""
    fix: MeasuredFix | None = None
    """The best of its knobs' settings, as far as they were tried; None if none was."""


@dataclass(frozen=True, kw_only=True)
class Abstention:
    """A rule that could not judge, and the reason."""

    rule: str
    why: str
    most_share: float = 1.0
    """Largest share of the loop's time that its cost may have; 1 if that is not known."""
    seen_share: float | None = None
    """Share of the cost in the updates that were counted, if these were too few to judge; None for other reasons."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    findings: tuple[Finding, ...]
    """Findings, the largest possible gain first."""
    abstained: tuple[Abstention, ...] = ()
    silent: tuple[str, ...] = field(default_factory=tuple)
    """Rules that ran and found nothing."""

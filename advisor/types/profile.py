"""The result of `advisor profile`: measured once, stored, and shown as often as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._named import counted, named
from .command import Command
from .device_use import DeviceUse
from .diagnosis import Abstention, Finding
from .evaluation_use import EvaluationUse
from .growth import Growth
from .hardware import Hardware
from .loss_trend import EarlyStop, LossTrend
from .measured_fix import MeasuredFix
from .measurement import (
    Compute,
    EpochEnd,
    Failure,
    HotLine,
    LoaderRestarts,
    LoaderTimes,
    MemoryUse,
    Overhead,
    ScriptRunSummary,
    Steps,
    SystemUse,
    Trace,
    UsagePoint,
    WhatIf,
    WindowSummary,
)
from .noise_scale import NoiseScale
from .ranks import Communication, Rank
from .workload import Workload

PROFILE_VERSION = 1
"""Version of the stored document; a newer advisor reads all older ones."""


@dataclass(frozen=True, kw_only=True)
class IsolationUse:
    name: str
    promise: str
    changed_files: tuple[str, ...] = ()
    """Files that a detecting (not protecting) isolation saw change."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    version: int = PROFILE_VERSION
    advisor: str
    """Version of advisor that measured."""
    run_id: str
    created: str
    """ISO 8601, UTC."""
    command: Command
    environment: Mapping[str, str]
    """Versions of Python and of the packages that matter, in the script's interpreter."""
    hardware: Hardware
    isolation: IsolationUse
    workload: Workload | None = None
    steps: Steps | None = None
    """None if no update was measured; `failure` then says why."""
    phases: Mapping[str, float] = field(default_factory=dict)
    off_step: Mapping[str, float] = field(default_factory=dict)
    start_up_s: float | None = None
    epoch_end: EpochEnd = field(default_factory=EpochEnd)
    loop_s: float = 0.0
    memory: MemoryUse | None = None
    compute: Compute | None = None
    loader: LoaderTimes | None = None
    restarts: LoaderRestarts | None = None
    system: SystemUse | None = None
    trace: Trace | None = None
    evaluation: EvaluationUse | None = None
    growth: Growth | None = None
    device_use: DeviceUse | None = None
    why_no_device_use: str = ""
    """Reason why an accelerator has no `device_use`; "" on a CPU."""
    lines: tuple[HotLine, ...] = ()
    ranks: tuple[Rank, ...] = ()
    communication: Communication | None = None
    """Wait of the ranks for each other; None for a single rank, and if it could not be seen."""
    what_ifs: tuple[WhatIf, ...] = ()
    fixes: tuple[MeasuredFix, ...] = ()
    """Settings that were tried for a few windows."""
    losses: LossTrend | None = None
    """Course of the training loss; None for too few losses, and in profiles of older versions."""
    early_stop: EarlyStop | None = None
    noise_scale: NoiseScale | None = None
    """None if it was not asked for, or could not be measured."""
    findings: tuple[Finding, ...] = ()
    abstained: tuple[Abstention, ...] = ()
    overhead: Overhead = field(default_factory=Overhead)
    windows: tuple[WindowSummary, ...] = ()
    usage: tuple[UsagePoint, ...] = ()
    script_runs: tuple[ScriptRunSummary, ...] = field(default=(), metadata={"alias": "lives"})
    notes: tuple[str, ...] = ()
    """Facts the reader must know: little data, trackers put offline, network connections, an end before the planned
    one."""
    failure: Failure | None = None
    budget_s: float | None = None
    """Seconds from the first update on; None in a profile that is part of a search or was stored by 0.1.0."""
    run_options: tuple[str, ...] = ()
    """The user's options on how the script is run, as words of a command line: later commands need them again."""
    run_folder: str = field(default="")
    """Folder where it is stored; empty in the stored document itself."""

    @property
    def loop_s_per_update(self) -> float | None:
        """Seconds of the loop for each update, with the work between updates; findings are shares of it. None if no
        update was measured."""
        return 1 / self.steps.updates_per_s if self.steps is not None and self.steps.updates_per_s > 0 else None

    def cost_s(self, finding: Finding) -> float | None:
        """Return the seconds that a finding costs for each update; None for a risk, which costs no time."""
        loop_s = self.loop_s_per_update
        return None if loop_s is None or finding.share <= 0 else finding.share * loop_s

    def __repr__(self) -> str:
        parts = [*self._failed(), *self._rate(), *self._judged()]
        return f"<Profile of {named(self.command.display)}: {'; '.join(parts)}>"

    def _failed(self) -> list[str]:
        return [] if self.failure is None else [f"FAILED ({self.failure.kind}: {named(self.failure.message)})"]

    def _rate(self) -> list[str]:
        if self.steps is None:
            return ["nothing was measured"]
        by_samples = self.steps.samples_per_s is not None
        rate = self.steps.samples_per_s if by_samples else self.steps.updates_per_s
        before = f" in the {counted(self.steps.updates, 'update')} before" if self.failure is not None else ""
        return [f"{rate:,.4g} {'samples' if by_samples else 'updates'}/s{before}"]

    def _judged(self) -> list[str]:
        """Describe the findings, naming the first; a failed or empty profile is not reported to have none."""
        if not self.findings and (self.steps is None or self.failure is not None):
            return []
        first = f", first {named(self.findings[0].rule)} ({self.findings[0].severity})" if self.findings else ""
        abstained = [f"{counted(len(self.abstained), 'rule')} could not judge"] if self.abstained else []
        return [f"{counted(len(self.findings), 'finding')}{first}", *abstained]

"""What a search tried, what came of it, and what it recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ._named import counted, named
from .command import Command
from .diagnosis import Finding
from .hardware import Hardware
from .measurement import Config, Failure, SettingValue
from .profile import Profile

TUNE_VERSION = 1
"""Of what `advisor tune --json` prints and stores."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Samples a second over those of the script as written, from neighbouring windows of one life."""

    speedup: float
    low: float
    high: float
    """95% interval."""
    rounds: int


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    kind: Literal["measured", "oom", "crash", "hang", "nan", "refused", "stopped"]
    message: str = ""
    """Why it was not measured; empty where it was."""
    samples_per_s: float | None = None
    peak_bytes: int | None = None
    set_up_s: float | None = None
    """Seconds that taking the settings cost once, compiling above all; None where that was not measured."""
    joules_per_sample: float | None = None
    """None where the energy was not asked for, or could not be read."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    """0 is the script as written."""
    config: Config
    reason: str
    """Why it was tried."""
    tier: str
    """The least mild of its settings: exact, resampled, numerics or training."""
    outcome: TrialOutcome
    ratio: Ratio | None = None
    """Of the speed, whatever the search looks for."""
    measured_again: Ratio | None = None
    """Of the speed, from windows that were run after it had been chosen: the best of many looks is partly luck."""
    score: float | None = None
    """How many times better than the script as written, by what the search looks for; None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class KnobSpace:
    """A knob that the search may turn."""

    id: str
    values: tuple[SettingValue, ...]
    """Worth trying, the most promising first; the script's own is not among them."""
    tier: str
    """What they may do to the training: exact, resampled, numerics or training."""
    scope: str
    """`live`, or `launch` where each value needs a start of its own."""
    opened_by: str
    """Why it is open."""
    needs: str | None = None
    """Another knob without which it means nothing."""
    needed_is_on: bool = False
    """The script as written has that one on."""
    shares_cpus_with: tuple[str, SettingValue] | None = None
    """Another knob, with a value that leaves room for the first one here: they are tried together."""
    usual: bool = False
    """An expert sets it here without thinking: tried first with all others of the kind."""
    beside_the_best: bool = False
    """It takes long to set and no finding points to it: tried with what is best by then, never alone first."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A knob or a value that was not tried."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    status: Literal["faster", "unproven", "no significant gain", "slower", "undecided", "unverified"]
    """`unproven`: clear in the windows of a search, and not yet decided in fresh processes. `undecided`: nothing was
    compared, or the interval holds both a gain and none. `unverified`: nothing could be measured."""
    speedup: float
    low: float
    high: float
    """Where nothing was compared, 0 and infinity."""
    rounds: int
    """Of fresh processes; of windows in one run where it is `unproven`."""
    floor: float
    """A gain below it is none: 2%, or more where the script's own processes differ by more. From fewer than three
    rounds that is not known, and only a gain that leaves no doubt is claimed."""
    quality: Literal["passed", "failed", "not checked"] = "not checked"
    quality_evidence: str = ""
    rounds_to_decide: int | None = None
    """Where it is undecided: about how many rounds would decide."""
    own_spread: float | None = None
    """How much faster the fastest process of the script as written was than its slowest, less 1; None where fewer than
    two were run."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Faster still, at a price that only the user can weigh."""

    changes: Literal["training"]
    config: Config
    verdict: Verdict
    note: str
    """What the user has to do with it."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    command: Command
    hardware: Hardware
    config: Config
    """Empty: the script as written is what to run."""
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    by_knob: Mapping[str, Ratio] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    carried: Mapping[str, Mapping[str, SettingValue]] = field(default_factory=dict)
    """Knobs of `config` that the script takes on its own command line: knob → its flags with their values."""
    notes: tuple[str, ...] = ()
    """What the user has to know of these settings, or to do with them."""

    def __repr__(self) -> str:
        return f"<Recommendation for {named(self.command.display)}: {self.told}>"

    @property
    def told(self) -> str:
        """Settings and verdict in a few words; no ratio where none was measured, or where it decides nothing."""
        verdict = self.verdict
        known = verdict.rounds > 0 and verdict.status != "undecided"
        ratio = f", {verdict.speedup:.2f} times as fast ({verdict.low:.2f} to {verdict.high:.2f})" if known else ""
        quality = ", LOSSES DIFFER" if verdict.quality == "failed" else ""
        if not self.config.settings:
            return f"the script as written ({verdict.status}{quality})"
        settings = ", ".join(f"{name}={value}" for name, value in self.config.settings)
        return f"{named(settings)}; {verdict.status}{ratio}{quality}"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What the search looked for."""

    name: Literal["throughput", "memory", "energy", "cost"] = "throughput"
    unit: str = "samples/s"
    as_written: float | None = None
    """In this unit; None where it was not measured."""
    best: float | None = None
    """Of the configuration recommended."""


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    version: int = TUNE_VERSION
    profile: Profile
    """What the search was begun from."""
    trials: tuple[Trial, ...]
    recommendation: Recommendation
    files: tuple[str, ...] = ()
    """What was written for the user."""
    objective: Objective = Objective()
    budget_s: float | None = None
    """That it was given."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Knob → its share of the spread between the trials; empty where too few were measured."""
    space: tuple[KnobSpace, ...] = ()
    """What could be tried; what could not is in `recommendation.skipped`."""
    only: tuple[str, ...] | None = None
    """The knobs that the user asked for, and no others; None where the findings decided."""
    options: tuple[str, ...] = ()
    """The script's own options that stand for something known, with their values, in words."""
    between_windows_s: tuple[float, ...] = ()
    """From the end of windows to the next ones sent, each time: what deciding took."""
    failure: Failure | None = None
    run_folder: str = ""

    def __repr__(self) -> str:
        told = self.recommendation.told
        if self.failure is not None:
            told = f"FAILED ({self.failure.kind}: {named(self.failure.message)})"
        return f"<Search for {named(self.profile.command.display)}: {told}; {counted(len(self.trials), 'trial')}>"

"""Trials of a search, their outcomes, and the recommendation."""

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

MOST_DOUBT = 0.05
"""Loss, as a fraction, that the interval of a gain may hold: windows of one script differ by as much."""
TUNE_VERSION = 1
"""Version of the document that `advisor tune --json` prints and stores."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Samples per second over those of the baseline, from neighbouring windows of one script run."""

    speedup: float
    low: float
    high: float
    """95% interval."""
    rounds: int


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    kind: Literal["measured", "oom", "crash", "hang", "nan", "refused", "stopped"]
    message: str = ""
    """Reason why it was not measured; empty if it was."""
    samples_per_s: float | None = None
    peak_bytes: int | None = None
    set_up_s: float | None = None
    """One-off cost of taking the settings in seconds, mainly compiling; None if it was not measured."""
    joules_per_sample: float | None = None
    """None if the energy was not asked for or could not be read."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    number: int
    """Number of the trial; 0 is the baseline."""
    config: Config
    reason: str
    """Reason for trying it."""
    effect: str = field(metadata={"alias": "tier"})
    """Strongest effect among its settings: exact, resampled, numerics or training."""
    outcome: TrialOutcome
    ratio: Ratio | None = None
    """Ratio of the speed, whatever the search optimises."""
    measured_again: Ratio | None = None
    """Ratio of the speed from windows run after it was chosen: the best of many trials is partly luck."""
    score: float | None = None
    """Factor by which it beats the baseline in the search's objective; None if that is not known."""
    beside: Config = field(default_factory=Config)
    """Configuration that its windows were compared with: the best so far, or the baseline."""
    step: Ratio | None = None
    """Ratio to that; `ratio` has it multiplied by the ratio of `beside`, and its interval holds the errors of both."""

    @property
    def is_conclusive(self) -> bool:
        """True if it was compared with the baseline, or failed by its own settings."""
        return self.ratio is not None or self.outcome.kind in ("oom", "crash", "hang", "nan")

    @property
    def is_doubtful(self) -> bool:
        """True if its windows leave open whether it gains or loses, by more than two windows of one script differ."""
        measured = self.step or self.ratio
        return measured is not None and measured.low < min(1.0, measured.speedup) - MOST_DOUBT


@dataclass(frozen=True, kw_only=True)
class KnobSpace:
    """A knob that the search may turn."""

    id: str
    values: tuple[SettingValue, ...]
    """Values worth trying, the most promising first; the script's own is not among them."""
    effect: str = field(metadata={"alias": "tier"})
    """Effect on training: exact, resampled, numerics or training."""
    scope: str
    """`live`, or `launch` if each value needs its own start."""
    opened_by: str
    """Reason why it is open."""
    may_close: str = ""
    """Reason why another profile of the same script may not open it; "" if there is none."""
    needs: str | None = None
    """Another knob that it needs to have any meaning."""
    needed_is_on: bool = False
    """True if the baseline has that knob on."""
    shares_cpus_with: tuple[str, SettingValue] | None = None
    """Another knob, and a value of it that leaves room for this one's first value; the two are tried together."""
    excludes: tuple[str, ...] = ()
    """Other knobs that it cannot be set beside, unless their value is 0 or false."""
    usual: bool = False
    """True if an expert sets it here without thinking: tried first, together with all others of the kind."""
    beside_the_best: bool = False
    """True if it takes long to set and no finding points to it: tried with the best settings by then, never alone
    first."""
    unprompted: bool = False
    """True if it is open only because it costs next to nothing to try; not tried beside a clear gain."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A knob or a value that was not tried."""

    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    status: Literal["faster", "unproven", "no significant gain", "slower", "undecided", "unverified"]
    """`unproven`: clear in the windows of a search, but not yet decided in fresh processes. `undecided`: nothing was
    compared, or the interval holds both a gain and none. `unverified`: nothing could be measured."""
    speedup: float
    low: float
    high: float
    """Ends of the interval: 0 and infinity if nothing was compared."""
    rounds: int
    """Rounds of fresh processes; for `unproven`, of windows in one run."""
    floor: float
    """Smallest gain that counts: 2%, or more if the script's own processes differ by more. With fewer than three rounds
    that spread is not known, and only a gain beyond doubt is claimed."""
    quality: Literal["passed", "failed", "not checked"] = "not checked"
    quality_evidence: str = ""
    rounds_to_decide: int | None = None
    """If it is undecided: approximate number of rounds that would decide."""
    own_spread: float | None = None
    """Speed of the fastest baseline process over the slowest, less 1; None if fewer than two were run."""


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A faster configuration, at a price that only the user can weigh."""

    changes: Literal["training"]
    config: Config
    verdict: Verdict
    note: str
    """Action that it needs from the user."""


@dataclass(frozen=True, kw_only=True)
class TrainingLength:
    """Length of the training that the user will run."""

    updates: float
    epochs: float | None
    """None if the updates of an epoch are not known."""
    source: str
    """Where it was found: an option, or a place in the source."""


@dataclass(frozen=True, kw_only=True)
class TrainingGain:
    """Gain over a whole training, with what is set up at its start and what helps only later."""

    length: TrainingLength
    speedup: float


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    command: Command
    hardware: Hardware
    config: Config
    """Recommended configuration; empty if the baseline is the best to run."""
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    by_knob: Mapping[str, Ratio] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    passed_as_arguments: Mapping[str, Mapping[str, SettingValue]] = field(
        default_factory=dict, metadata={"alias": "carried"}
    )
    """Knobs of `config` that the script takes on its own command line: knob → its flags with their values."""
    constants: Mapping[str, Mapping[str, SettingValue]] = field(default_factory=dict)
    """Knobs of `config` that the script has as constants: knob → its constants with their values."""
    training: TrainingGain | None = None
    """Gain over the whole training; None if its length is not known."""
    notes: tuple[str, ...] = ()
    """Facts the user has to know about these settings, or actions they need."""

    def __repr__(self) -> str:
        return f"<Recommendation for {named(self.command.display)}: {self.summary}>"

    @property
    def by_agent(self) -> dict[str, SettingValue]:
        """Return the settings that the agent applies; the script takes the others by its options and constants."""
        by_script = {*self.passed_as_arguments, *self.constants}
        return {name: value for name, value in self.config.settings if name not in by_script}

    @property
    def summary(self) -> str:
        """Describe settings and verdict in a few words; no ratio if none was measured or if it decides nothing."""
        verdict = self.verdict
        known = verdict.rounds > 0 and verdict.status != "undecided"
        ratio = f", {verdict.speedup:.2f} times as fast ({verdict.low:.2f} to {verdict.high:.2f})" if known else ""
        quality = ", LOSSES DIFFER" if verdict.quality == "failed" else ""
        if not self.config.settings:
            return f"{self.config} ({verdict.status}{quality})"
        return f"{named(str(self.config))}; {verdict.status}{ratio}{quality}"


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The objective of the search."""

    name: Literal["throughput", "memory", "energy", "cost"] = "throughput"
    unit: str = "samples/s"
    baseline: float | None = field(default=None, metadata={"alias": "as_written"})
    """Value of the baseline in this unit; None if it was not measured."""
    best: float | None = None
    """Value of the recommended configuration."""


@dataclass(frozen=True, kw_only=True)
class LimitStep:
    """Limit of the best configuration, after one step of a search."""

    config: Config
    ratio: Ratio
    """Its ratio to the baseline, by the windows so far."""
    findings: tuple[Finding, ...]
    """What the rules say of it, the largest possible gain first; empty if they find nothing."""
    opened: tuple[str, ...] = ()
    """Knobs that this opened."""
    unsure: tuple[str, ...] = ()
    """Rules that could not judge it."""


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    version: int = TUNE_VERSION
    profile: Profile
    """Profile that the search started from."""
    trials: tuple[Trial, ...]
    recommendation: Recommendation
    files: tuple[str, ...] = ()
    """Files written for the user."""
    objective: Objective = Objective()
    budget_s: float | None = None
    """Budget that it was given."""
    importances: Mapping[str, float] = field(default_factory=dict)
    """Knob → its share of the spread between the trials; empty if too few were measured."""
    limits: tuple[LimitStep, ...] = ()
    """What limited the best configuration after each step forward; the profile says what limits the baseline."""
    space: tuple[KnobSpace, ...] = ()
    """Knobs that could be tried; those that could not are in `recommendation.skipped`."""
    only: tuple[str, ...] | None = None
    """The only knobs that the user asked for; None if the findings decided."""
    options: tuple[str, ...] = ()
    """The script's own options with a known meaning, with their values, in words."""
    search_options: tuple[str, ...] = ()
    """The user's options of the search but for its budget, as words of a command line."""
    ended: str = ""
    """Why the search tried no more, with the time that was left; empty in searches of 0.2 and before."""
    between_windows_s: tuple[float, ...] = ()
    """Time from the end of windows to sending the next ones, each time: the cost of deciding."""
    failure: Failure | None = None
    run_folder: str = ""

    @property
    def tried(self) -> list[Trial]:
        """Trials of settings: all but the baseline."""
        return [trial for trial in self.trials if trial.config.settings]

    def __repr__(self) -> str:
        summary = self.recommendation.summary
        if self.failure is not None:
            summary = f"FAILED ({self.failure.kind}: {named(self.failure.message)})"
        return f"<Search for {named(self.profile.command.display)}: {summary}; {counted(len(self.trials), 'trial')}>"

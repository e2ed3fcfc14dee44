"""Settings run against the script as written, in fresh processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._named import counted, named
from .measurement import Config, Failure, SettingValue
from .tuning import Recommendation, Skipped, TrialOutcome, Verdict


@dataclass(frozen=True, kw_only=True)
class VerifiedConfig:
    """What fresh processes said of one configuration."""

    config: Config
    tier: str
    """What it may do to the training: exact, resampled, numerics or training."""
    verdict: Verdict
    outcome: TrialOutcome
    """Samples a second and peak memory over its processes; why it was left out where it was."""

    @property
    def stands(self) -> bool:
        """It is faster, and nothing speaks against its training."""
        return self.verdict.status == "faster" and self.verdict.quality != "failed"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Configurations against the script as written, in the order they were given."""

    baseline: TrialOutcome
    """The script as written, over all its processes."""
    configs: tuple[VerifiedConfig, ...]
    processes: int
    seconds: float
    """What all of it took."""
    changed_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Rounds that the time was too short for, with the time that they would have needed."""
    interrupted: BaseException | None = None
    """Ctrl-C or SIGTERM, which ended it."""

    def of(self, config: Config) -> VerifiedConfig | None:
        """What was found of this configuration; None where it was not among them."""
        return next((found for found in self.configs if found.config == config), None)


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """The result of `advisor verify`."""

    recommendation: Recommendation
    """The configuration as it was given, with the verdict on it."""
    baseline: TrialOutcome | None
    """None where nothing was measured."""
    outcome: TrialOutcome | None
    """Of the configuration."""
    arguments: Mapping[str, SettingValue] = field(default_factory=dict)
    """The script's own options that were verified with it: flag → value."""
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """What was written for the user."""
    failure: Failure | None = None
    run_folder: str = ""

    def __repr__(self) -> str:
        found = self.recommendation
        return (
            f"<Verification of {named(found.command.display)}: {found.told}; {counted(found.verdict.rounds, 'round')}>"
        )

"""Verification of settings against the baseline, in fresh processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ._named import counted, named
from .measurement import Config, Failure, SettingValue
from .tuning import Recommendation, Skipped, TrialOutcome, Verdict


@dataclass(frozen=True, kw_only=True)
class VerifiedConfig:
    """Result of fresh processes for one configuration."""

    config: Config
    effect: str = field(metadata={"alias": "tier"})
    """Effect on training: exact, resampled, numerics or training."""
    verdict: Verdict
    outcome: TrialOutcome
    """Samples per second and peak memory over its processes; the reason if it was left out."""

    @property
    def stands(self) -> bool:
        """Return whether it is faster and nothing speaks against its training."""
        return self.verdict.status == "faster" and self.verdict.quality != "failed"


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Verification of configurations against the baseline, in the order given."""

    baseline: TrialOutcome
    """The baseline, over all its processes."""
    configs: tuple[VerifiedConfig, ...]
    processes: int
    seconds: float
    """Total time taken."""
    changed_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    """Rounds that the time was too short for, with the time they would have needed."""
    interrupted: BaseException | None = None
    """Ctrl-C or SIGTERM that ended it."""
    failure: Failure | None = None
    """Losses of the baseline that are not finite, beside what was measured."""

    def of(self, config: Config) -> VerifiedConfig | None:
        """Return the result for this configuration; None if it was not among them."""
        return next((found for found in self.configs if found.config == config), None)


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """The result of `advisor verify`."""

    recommendation: Recommendation
    """The configuration as given, with its verdict."""
    baseline: TrialOutcome | None
    """None if nothing was measured."""
    outcome: TrialOutcome | None
    """Outcome of the configuration."""
    arguments: Mapping[str, SettingValue] = field(default_factory=dict)
    """The script's own options that were verified with it: flag → value."""
    constants: Mapping[str, SettingValue] = field(default_factory=dict)
    """Constants of the script that were verified with it: name → value."""
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    """Files written for the user."""
    failure: Failure | None = None
    run_folder: str = ""

    def __repr__(self) -> str:
        found = self.recommendation
        return (
            f"<Verification of {named(found.command.display)}: {found.summary}; "
            f"{counted(found.verdict.rounds, 'round')}>"
        )

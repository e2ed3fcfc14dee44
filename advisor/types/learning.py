"""Trainings that are compared by their losses: curves, trials, the verdict, and the result of such a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ._named import counted, named
from .measurement import Failure, SettingValue
from .profile import Profile
from .range_test import RangeTest
from .tuning import Recommendation, Skipped

LEARNING_VERSION = 1
"""Version of the document that `advisor tune --objective time_to_loss --json` prints and stores."""

LossKind = Literal["validation loss", "training loss", "training loss of the first epoch", "printed metric"]
LearningObjective = Literal["time_to_loss", "loss_at_time"]
JudgedBy = Literal["end", "lowest"]
"""Loss of a training that counts: that at its end, or the lowest on the way, as of the best checkpoint."""
LearningStatus = Literal[
    "faster", "better", "slower", "worse", "loses at the end", "no significant gain", "undecided", "unverified"
]
TrainingEnd = Literal["measured", "diverged", "nan", "oom", "crash", "hang", "refused", "stopped"]


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """Losses of one training; each belongs to the end of an update."""

    updates: tuple[int, ...]
    """Number of the update, counted from 1."""
    seconds: tuple[float, ...]
    """Time since the beginning of the first update: start-up is left out, evaluations are not."""
    losses: tuple[float | None, ...]
    """None for a loss that is not a finite number."""
    samples: tuple[int, ...] | None = None
    """Samples that were trained on until then; None if they could not be counted."""

    def __len__(self) -> int:
        return len(self.updates)


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training in a process of its own, from the script's start to the end of a horizon."""

    seed: int
    planned_updates: int
    end: TrainingEnd
    message: str = ""
    """Why it was not measured, or how it went wrong; empty for a sound training."""
    training: LossCurve | None = None
    """Losses that were differentiated; None if nothing was counted."""
    validation: LossCurve | None = None
    """Mean losses of the script's evaluations; None if none was recognised."""

    @property
    def seconds(self) -> float:
        """Return the seconds from the first update to the last; 0 if nothing was counted."""
        return self.training.seconds[-1] if self.training is not None and len(self.training) else 0.0


@dataclass(frozen=True, kw_only=True)
class LearningTrial:
    """One training of a search: a configuration over the horizon of a rung."""

    number: int
    """Number of the trial; 0 is the baseline."""
    settings: Mapping[str, SettingValue]
    reason: str
    rung: int
    """Place of its horizon: 0 is the shortest; the last is the whole horizon."""
    updates: int
    """Updates that its whole schedule was scaled to."""
    end: TrainingEnd
    message: str = ""
    end_loss: float | None = None
    """Smoothed loss at the rung's end, or the lowest until then; None if the training failed."""
    baseline_loss: float | None = None
    """The baseline's, after as much time."""
    to_target_s: float | None = None
    """Seconds until the target was reached; None if it was not, or in a rung that is not the last."""
    seconds: float = 0.0
    curve: LossCurve | None = None
    """Thinned to what a chart shows."""


@dataclass(frozen=True, kw_only=True)
class LearningPair:
    """A training of each side, with the same seed."""

    seed: int
    target: float | None
    """The loss that the baseline reaches at the end of the horizon, or its lowest."""
    baseline_s: float | None
    """Seconds until the baseline reaches it; None if it never did."""
    candidate_s: float | None
    baseline_loss: float | None
    """Smoothed loss at the end of the horizon, or the lowest until then."""
    candidate_loss: float | None
    baseline: LossCurve | None = None
    """Thinned to what a chart shows."""
    candidate: LossCurve | None = None
    message: str = ""
    """How the candidate's training went wrong, if it did."""


@dataclass(frozen=True, kw_only=True)
class LearningVerdict:
    """Verdict on settings that change the training, from pairs of fresh processes with common seeds."""

    status: LearningStatus
    """`faster`: the target is reached sooner, and the end is not worse. `better`, `worse`: a lower or a higher loss at
    the fixed time. `loses at the end`: ahead on the way, and worse at the end."""
    pairs: tuple[LearningPair, ...] = ()
    speedup: float = 1.0
    """Geometric mean of the ratios of the times to the target."""
    low: float = 0.0
    high: float = float("inf")
    """Ends of its 95% interval: 0 and infinity if nothing was compared."""
    reached: int = 0
    """Candidates that reached the target."""
    change: float | None = None
    """Mean difference of the losses at the end: below zero is better."""
    change_low: float | None = None
    change_high: float | None = None
    """Ends of its 95% interval."""
    seeds_differ: float | None = None
    """Standard deviation of the baseline's losses at the end over the seeds."""
    why: str = ""
    """The basis of the verdict in words."""


@dataclass(frozen=True, kw_only=True)
class LearningResult:
    """Result of a search by the time to a loss."""

    version: int = LEARNING_VERSION
    profile: Profile
    """Command, machine and parts of the script, as the baseline's training showed them; no windows."""
    objective: LearningObjective
    horizon: str
    """As the user gave it."""
    horizon_updates: int
    horizon_s: float
    """Time of the baseline for it."""
    loss: LossKind
    target: float | None
    """Loss that the baseline reaches at the end of the horizon, or its lowest, in the search."""
    trials: tuple[LearningTrial, ...]
    verdict: LearningVerdict
    recommendation: Recommendation
    """In the form of other searches, for files and exports; empty if the baseline is the best to run."""
    baseline: LossCurve | None = None
    """Curve of the script as written, with the search's seed."""
    best: Mapping[str, SettingValue] = field(default_factory=dict)
    """Settings that were verified; empty if nothing was better in the search."""
    best_updates: int = 0
    """Updates that its schedule is scaled to."""
    always: Mapping[str, SettingValue] = field(default_factory=dict)
    """Settings of all trainings, the baseline's too."""
    judged_by: JudgedBy = "end"
    """`lowest` if the evaluations of the baseline rise again within the horizon."""
    range_test: RangeTest | None = None
    """None if there was none."""
    skipped: tuple[Skipped, ...] = ()
    """Knobs that could not be tried."""
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    failure: Failure | None = None
    """Why nothing was searched; the reason of a refusal is its message."""
    ended: str = ""
    run_folder: str = ""

    def __repr__(self) -> str:
        name = named(self.profile.command.display)
        if self.failure is not None:
            return f"<Search for {name}: FAILED ({self.failure.kind}: {named(self.failure.message)})>"
        return f"<Search for {name}: {self.objective}, {self.verdict.status}; {counted(len(self.trials), 'trial')}>"


def recommends(verdict: LearningVerdict) -> bool:
    """Return whether the verdict is for the settings."""
    return verdict.status in ("faster", "better")

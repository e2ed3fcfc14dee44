"""Score of a configuration by the objective, over the whole training where its length is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..runtime.session_result import SessionResult
from ..types import Config, Ratio, TrainingGain, TrialOutcome
from . import scoring
from .goals import Goal
from .training_gain import WholeTraining


@dataclass(kw_only=True)
class Scores:
    result: SessionResult
    goal: Goal
    joules: scoring.Joules | None = None
    training: WholeTraining | None = None
    """None until the length of the training is known."""

    def of(self, config: Config, ratio: Ratio | None, outcome: TrialOutcome) -> float | None:
        """Return how many times better than the baseline it is; None if the needed value was not measured."""
        baseline = scoring.baseline_outcome(self.result, self.joules)
        if baseline is None:
            return None
        if ratio is not None and self.goal.name in ("throughput", "cost"):
            ratio = self.over_training(config, ratio, outcome)
        return self.goal.score(ratio, outcome, baseline)

    def over_training(self, config: Config, ratio: Ratio, outcome: TrialOutcome) -> Ratio:
        """Return the ratio over the whole training; that of its updates if the length is not known."""

        def whole(speedup: float) -> float:
            gain = self.training_gain(config, speedup, outcome.set_up_s)
            return speedup if gain is None else gain.speedup

        return replace(ratio, speedup=whole(ratio.speedup), low=whole(ratio.low), high=whole(ratio.high))

    def training_gain(self, config: Config, speedup: float, set_up_s: float | None) -> TrainingGain | None:
        """Return the gain over the whole training; None if its length is not known."""
        if self.training is None:
            return None
        baseline = scoring.baseline_outcome(self.result)
        known_s = baseline.set_up_s if baseline is not None else None
        return self.training.gain(config, speedup, max(0.0, (set_up_s or 0.0) - (known_s or 0.0)))

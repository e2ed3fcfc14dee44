"""What is tried next: an expert's first tries for these findings, what they suggest together, then Optuna's TPE."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..types import Config, SettingValue, Trial
from .space import KEEPS_TRAINING, Space

AS_WRITTEN = "as written"
"""The choice that leaves a knob alone."""
ASKED_AGAIN = 20
"""Times that the sampler may come back with what was tried already before the search is over."""
SEED = 0
"""A search that is repeated on the same measurements makes the same tries."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    config: Config
    reason: str


class Proposer:
    """Ask and tell. The trials told are the truth; the study in memory only serves the sampler."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._tried: set[Config] = {Config()}
        self._expert = _first_tries(space)
        self._combined: set[Config] = set()
        self._study: Any = None

    def ask(self, trials: Sequence[Trial]) -> Proposal | None:
        """The next configuration that was not tried yet; None when there is nothing left to try."""
        for proposal in self._expert:
            if self._take(proposal.config):
                return proposal
        for proposal in _combinations(self._space, trials):
            if self._take(proposal.config):
                return proposal
        return self._sampled()

    def tell(self, trial: Trial) -> None:
        """What came of a configuration; TPE learns from it."""
        import optuna

        study = self._opened()
        state = optuna.trial.TrialState.COMPLETE if trial.ratio is not None else optuna.trial.TrialState.FAIL
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.add_trial(
                optuna.trial.create_trial(
                    params=self._params(trial.config),
                    distributions=self._distributions(),
                    value=math.log(trial.ratio.speedup) if trial.ratio is not None else None,
                    state=state,
                )
            )

    def _take(self, config: Config) -> bool:
        if config in self._tried:
            return False
        self._tried.add(config)
        return True

    def _sampled(self) -> Proposal | None:
        if len(self._tried) >= self._space.size:
            return None
        study = self._opened()
        for _ in range(ASKED_AGAIN):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                asked = study.ask(self._distributions())
            config = self._config(asked.params)
            # Asked only for its parameters: what comes of it is added as a trial of its own, with the others.
            study.tell(asked, state=_failed())
            if self._take(config):
                return Proposal(config=config, reason="suggested by TPE from the trials so far")
        return None

    def _opened(self) -> Any:
        if self._study is None:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._study = optuna.create_study(
                    direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED, n_startup_trials=4)
                )
        return self._study

    def _distributions(self) -> dict[str, Any]:
        from optuna.distributions import CategoricalDistribution

        return {knob.id: CategoricalDistribution((AS_WRITTEN, *knob.values)) for knob in self._space.knobs}

    def _params(self, config: Config) -> dict[str, SettingValue]:
        return {knob.id: AS_WRITTEN for knob in self._space.knobs} | config.as_dict()

    @staticmethod
    def _config(params: dict[str, Any]) -> Config:
        return Config.of({name: value for name, value in params.items() if value != AS_WRITTEN})


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _first_tries(space: Space) -> Iterator[Proposal]:
    """Each knob by itself at its most promising value, then at its second."""
    for place in range(2):
        for knob in space.knobs:
            if place < len(knob.values):
                value = knob.values[place]
                yield Proposal(config=Config.of({knob.id: value}), reason=f"{knob.id} alone: {knob.opened_by}")


def _combinations(space: Space, trials: Sequence[Trial]) -> Iterator[Proposal]:
    """The best value of each knob, together: first those that keep the training, then all."""
    best: dict[str, tuple[float, SettingValue]] = {}
    for trial in trials:
        if trial.ratio is None or len(trial.config.settings) != 1 or trial.ratio.speedup <= 1.0:
            continue
        ((name, value),) = trial.config.settings
        if trial.ratio.speedup > best.get(name, (0.0, None))[0]:
            best[name] = (trial.ratio.speedup, value)
    kept = {knob.id for knob in space.knobs if knob.tier in KEEPS_TRAINING}
    for names in (sorted(set(best) & kept), sorted(best)):
        if len(names) > 1:
            config = Config.of({name: best[name][1] for name in names})
            yield Proposal(config=config, reason="what helped alone, together")

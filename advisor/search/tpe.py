"""Optuna's TPE over the space, ask and tell. Its knowledge is rebuilt from the trials: they are the truth."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..types import Config, SettingValue, Trial
from .goals import Goal
from .space import Space

BASELINE_VALUE = "as written"
"""Choice that leaves a knob alone."""
SEED = 0
"""Seed of the sampler: a search repeated on the same measurements makes the same tries."""
STARTUP_TRIALS = 4
"""Trials before the model is used: the expert's first tries come before, so it need not wait for random ones."""
LEAST_FOR_IMPORTANCES = 8
FAILED = 1.0
"""Amount by which a configuration without a result breaks its constraint. (TPE learns nothing from a failed trial.)"""
OF_A_FAILURE = 0.0
"""Value of such a configuration, as a number is required: infeasible trials rank behind feasible ones whatever their
value."""


class Sampler:
    """TPE sampler with a study in memory."""

    def __init__(self, space: Space, goal: Goal) -> None:
        self._space = space
        self._goal = goal
        self._optuna = imported()
        self._distributions = distributions(space)
        with _quiet():
            self._study = self._optuna.create_study(
                direction="maximize",
                sampler=self._optuna.samplers.TPESampler(seed=SEED, n_startup_trials=STARTUP_TRIALS),
            )

    def tell(self, trial: Trial) -> None:
        """Record a configuration's outcome; one with values outside the space teaches nothing and is ignored."""
        if not self._space.contains(trial.config):
            return
        with _quiet():
            self._study.add_trial(self._frozen(trial))

    def suggest(self) -> Config:
        """Return the configuration that TPE would try next; it may have been tried already."""
        with _quiet():
            optuna_trial = self._study.ask(self._distributions)
            # Asked only for its parameters: its outcome is added as a separate trial, with the others.
            self._study.tell(optuna_trial, state=self._optuna.trial.TrialState.FAIL)
        return Config.of({name: value for name, value in optuna_trial.params.items() if value != BASELINE_VALUE})

    def importances(self, trials: Iterable[Trial]) -> Mapping[str, float]:
        """Return knob → its share of the spread between the measured trials (PED-ANOVA); empty for fewer than eight."""
        measured = [trial for trial in trials if trial.score is not None and self._space.contains(trial.config)]
        if len(measured) < LEAST_FOR_IMPORTANCES or len({trial.score for trial in measured}) < 2:
            return {}
        importance = self._optuna.importance
        with _quiet():
            study = self._optuna.create_study(direction="maximize")
            study.add_trials([self._frozen(trial) for trial in measured])
            found = importance.get_param_importances(study, evaluator=importance.PedAnovaImportanceEvaluator())
        # A knob that no trial has measured explains nothing, whatever the estimator makes of its unset value.
        turned = {name for trial in measured for name, _value in trial.config.settings}
        return {name: float(share) for name, share in found.items() if math.isfinite(share) and name in turned}

    def _frozen(self, trial: Trial) -> Any:
        score = trial.score
        too_slow = self._goal.too_slow(trial.ratio) if trial.ratio is not None else 0.0
        return self._optuna.trial.create_trial(
            params=params_of(self._space, trial.config),
            distributions=self._distributions,
            value=OF_A_FAILURE if score is None else math.log(score),
            constraints={"failed": -FAILED if score is not None else FAILED, "too slow": too_slow},
        )


def imported() -> Any:
    """Import Optuna (0.3 s) and silence it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna
        import optuna.importance
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def distributions(space: Space) -> dict[str, Any]:
    categorical = imported().distributions.CategoricalDistribution
    return {knob.id: categorical((BASELINE_VALUE, *knob.values)) for knob in space.knobs}


def params_of(space: Space, config: Config) -> dict[str, SettingValue]:
    """Return a choice for every knob."""
    return {knob.id: BASELINE_VALUE for knob in space.knobs} | config.as_dict()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Optuna's warnings about its experimental features, which do not concern the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

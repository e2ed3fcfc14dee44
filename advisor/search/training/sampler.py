"""Optuna's TPE over rates and choices, told the losses of one rung; its knowledge is rebuilt from them."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ...knobs import learning_rate
from ...types import SettingValue
from ..tpe import BASELINE_VALUE, SEED, imported
from .space import TrainingSpace, rounded

FAILED = 1e6
"""Loss of a training that failed, in multiples of the baseline's: worse than any other, and finite."""


class TrainingSampler:
    """Sampler with a study in memory; losses are compared on a logarithmic scale where they are positive."""

    def __init__(self, space: TrainingSpace) -> None:
        self._space = space
        optuna = imported()
        self._optuna = optuna
        self._distributions: dict[str, Any] = {
            name: optuna.distributions.CategoricalDistribution((BASELINE_VALUE, *values))
            for name, values in space.choices.items()
        }
        if space.rate is not None:
            self._distributions[learning_rate.KNOB.id] = optuna.distributions.FloatDistribution(
                space.rate.low, space.rate.high, log=True
            )
        with _quiet():
            # All trials before were the expert's, so none of the sampler's own has to be random.
            self._study = optuna.create_study(
                direction="minimize",
                sampler=optuna.samplers.TPESampler(seed=SEED, n_startup_trials=1, multivariate=True),
            )

    def tell(self, settings: Mapping[str, SettingValue], loss: float | None) -> None:
        """Record the loss of settings; None for a training that failed."""
        params: dict[str, Any] = {}
        for name in self._distributions:
            if name == learning_rate.KNOB.id:
                assert self._space.rate is not None
                rate = settings.get(name)
                value = float(rate) if isinstance(rate, int | float) else self._space.rate.baseline
                params[name] = min(self._space.rate.high, max(self._space.rate.low, value))
            else:
                params[name] = settings.get(name, BASELINE_VALUE)
                if params[name] != BASELINE_VALUE and params[name] not in self._space.choices[name]:
                    return
        value = FAILED if loss is None or not math.isfinite(loss) else loss
        with _quiet():
            self._study.add_trial(
                self._optuna.trial.create_trial(params=params, distributions=self._distributions, value=value)
            )

    def suggest(self) -> dict[str, SettingValue | None]:
        """Return the settings that TPE would try next; None stands for the script's own value."""
        with _quiet():
            trial = self._study.ask(self._distributions)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        found: dict[str, SettingValue | None] = {}
        for name, value in trial.params.items():
            if name == learning_rate.KNOB.id:
                found[name] = rounded(value)
            else:
                found[name] = None if value == BASELINE_VALUE else value
        return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

"""Gain over the whole training: windows measure one state of it, and the others cost their time, too."""

from __future__ import annotations

from dataclasses import dataclass

from .. import knobs
from ..types import Config, TrainingGain, TrainingLength


@dataclass(frozen=True, kw_only=True)
class WholeTraining:
    """The training as the user will run it, in the baseline's terms."""

    length: TrainingLength
    update_s: float
    """Length of the baseline's updates."""

    def gain(self, config: Config, speedup: float, set_up_s: float | None) -> TrainingGain:
        """Return the gain over the whole training of a configuration whose later updates are `speedup` times as fast.

        What it sets up at the start costs its time once; what helps from the second epoch on leaves the first as it is.
        """
        updates = self.length.updates
        first = 0.0
        if self.length.epochs and any(knobs.get(name).from_second_epoch for name, _value in config.settings):
            first = min(updates, updates / self.length.epochs)
        spent_updates = first + (updates - first) / speedup + (set_up_s or 0.0) / self.update_s
        return TrainingGain(length=self.length, speedup=updates / spent_updates)

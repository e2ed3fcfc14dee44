"""Schedules of the learning rate: the factor of its peak at each update of a training of known length.

The script's process, the search and reports use the same functions. This file needs the standard library only.
"""

from __future__ import annotations

import math

CONSTANT, LINEAR, COSINE, ONE_CYCLE = "constant", "linear", "cosine", "one_cycle"
WSD, INVERSE_SQRT, PLATEAU = "wsd", "inverse_sqrt", "plateau"
NAMES = (CONSTANT, LINEAR, COSINE, ONE_CYCLE, WSD, INVERSE_SQRT, PLATEAU)
USUAL_WARM_UP = {ONE_CYCLE: 0.3, WSD: 0.05, INVERSE_SQRT: 0.05}
"""Fraction of the training in which the rate rises, where nothing else is set; 0 for the others.

torch's OneCycleLR rises for 30%. The two others are published with a warm-up of 1 to 5%."""
ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4
"""Divisors of the peak at the start, and of that at the end: the defaults of torch's OneCycleLR."""
DECAY_FRACTION = 0.2
"""Last part of a wsd schedule, in which the rate falls to zero: 10 to 20% suffice (Hägele et al. 2024)."""
PLATEAU_FACTOR = 0.5
PLATEAU_CHECKS = 100
"""Number of times in a training that a plateau schedule reads the loss."""
PLATEAU_PATIENCE = 5
"""Readings in a row without a better loss, after which the rate is halved: 5% of the training."""
PLATEAU_BETTER = 0.99
"""Factor of the best loss below which a loss counts as better; 1% is the patience's usual companion."""
PLATEAU_MEMORY = 0.5
"""Weight of the latest reading in the loss that is compared: a single batch says little."""


def needs_length(name: str, warm_up: float | None) -> bool:
    """Return whether the schedule is unknown without the training's length."""
    return name != CONSTANT or bool(warm_up)


def warm_up_of(name: str, warm_up: float | None) -> float:
    """Return the fraction of the training in which the rate rises; None asks for the usual one."""
    return USUAL_WARM_UP.get(name, 0.0) if warm_up is None else warm_up


def factor(name: str, done: int, updates: float, warm_up: float | None = None) -> float:
    """Return the factor of the peak for the update after `done` others, in a training of `updates`.

    `warm_up` is the fraction in which the rate rises; None is the usual one. Past the end, the last factor stays. A
    plateau schedule is constant here: its falls depend on the losses (`Plateau`).
    """
    rising = warm_up_of(name, warm_up) * updates
    if name == ONE_CYCLE:
        return _one_cycle(done, updates, rising)
    if done < rising:
        return (done + 1) / (rising + 1)
    left = min(1.0, max(0.0, (updates - done) / max(1.0, updates - rising)))
    return _after_warm_up(name, left, done, rising)


def _one_cycle(done: int, updates: float, rising: float) -> float:
    if done < rising:
        return _between(1 / ONE_CYCLE_START, 1.0, done / max(1.0, rising))
    falling = max(1.0, updates - 1 - rising)
    return _between(1.0, 1 / (ONE_CYCLE_START * ONE_CYCLE_END), min(1.0, (done - rising) / falling))


def _between(begin: float, end: float, part: float) -> float:
    """Return the value after this part of half a cosine wave from `begin` to `end`."""
    return end + (begin - end) * (1 + math.cos(math.pi * part)) / 2


def _after_warm_up(name: str, left: float, done: int, rising: float) -> float:
    """Return the factor once the peak is reached; `left` is the fraction of the rest that is still to come."""
    if name == LINEAR:
        return left
    if name == COSINE:
        return _between(1.0, 0.0, 1 - left)
    if name == WSD:
        return min(1.0, left / DECAY_FRACTION)
    if name == INVERSE_SQRT:
        return math.sqrt(max(1.0, rising) / max(1.0, rising, done + 1))
    return 1.0


class Plateau:
    """Factor of a plateau schedule, which halves when the loss stops falling."""

    def __init__(self, updates: float) -> None:
        self.every = max(1, int(updates / PLATEAU_CHECKS))
        """Updates between two readings of the loss."""
        self.factor = 1.0
        self._loss: float | None = None
        self._best = math.inf
        self._waited = 0

    def read(self, loss: float) -> None:
        """Take in the loss of one update; a loss that is no number counts as no better."""
        if math.isfinite(loss):
            before = loss if self._loss is None else self._loss
            self._loss = before + PLATEAU_MEMORY * (loss - before)
        if self._loss is not None and self._loss < self._best - (1 - PLATEAU_BETTER) * abs(self._best):
            self._best, self._waited = self._loss, 0
            return
        if self._best == math.inf and self._loss is not None:
            self._best, self._waited = self._loss, 0
            return
        self._waited += 1
        if self._waited > PLATEAU_PATIENCE:
            self.factor *= PLATEAU_FACTOR
            self._waited = 0

"""Python's garbage collector, kept away from objects that stay: frozen, or collected between two updates only."""

from __future__ import annotations

import gc

from ...refused import Refused
from ..loop.clock import StepClock

FREEZE, BETWEEN_UPDATES = "freeze", "between_updates"
SELDOM = 100_000
"""New containers after which Python still collects by itself: an evaluation or a long epoch's end has no updates."""
FULL_EVERY = 100
"""Updates between two collections of every generation."""


class GarbageCollection:
    """Collector's settings, one instance per process."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._frozen = False
        self._thresholds: tuple[int, int, int] | None = None
        """Script's own thresholds while ours are in force."""
        self._due = 0

    def set(self, name: str) -> None:
        """Freeze what lives now; with `between_updates`, also collect only there from now on."""
        self.restore()
        if gc.get_freeze_count():
            raise Refused("the script has frozen its objects itself (gc.freeze)")
        if name == BETWEEN_UPDATES and not (gc.isenabled() and gc.get_threshold()[0]):
            raise Refused("the script has switched the automatic collection off itself")
        gc.collect()
        gc.freeze()
        self._frozen = True
        if name == BETWEEN_UPDATES:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(*_seldom(self._thresholds))
            self._due = self._clock.updates + FULL_EVERY
            self._clock.between_updates = self._collect

    def restore(self) -> None:
        """Bring back the baseline. Thresholds that the script has set meanwhile stay."""
        if self._frozen:
            self._frozen = False
            gc.unfreeze()
        thresholds, self._thresholds = self._thresholds, None
        if thresholds is not None:
            self._clock.between_updates = None
            if gc.get_threshold() == _seldom(thresholds):
                gc.set_threshold(*thresholds)

    def _collect(self) -> None:
        """Collect young objects if Python would have done it by now, and all of them from time to time."""
        if self._clock.updates >= self._due:
            self._due = self._clock.updates + FULL_EVERY
            gc.collect()
        elif self._thresholds is not None and gc.get_count()[0] > self._thresholds[0]:
            gc.collect(1)


def _seldom(thresholds: tuple[int, int, int]) -> tuple[int, int, int]:
    return (max(SELDOM, thresholds[0]), *thresholds[1:])

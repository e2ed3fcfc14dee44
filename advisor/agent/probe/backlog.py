"""Batches that were fetched before a window: how many updates must pass before its loader's queue is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..loop.clock import Update
from ..settings.controls import Controls
from .window_length import is_waiting


class Backlog:
    """Judge of the batches in the workers' queue at the beginning of a window.

    They tell of another state than the window's after a switch; and after a pause, in which the workers went on, if the
    loop usually waits for them: otherwise the queue is always full.
    """

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._paused = True
        self._waits = True
        """The loop waits for data, as far as its last window shows."""
        self._update_s = 0.0
        """Length of an update in that window."""
        self._just_begun = False
        self.updates = 0
        """Updates of the present window that are fed by batches fetched before it."""

    def stood_still(self, seconds: float) -> None:
        """Note that no batch was taken for so long: for less than an update, it is a part of the loop's usual pace."""
        self._paused = self._paused or seconds > self._update_s

    def begin(self, *, switched: bool) -> int:
        """Return how many updates a window must let pass; `switched` if its configuration or its batches are new."""
        foreign = switched or (self._paused and self._waits)
        self.updates = self._in_flight_updates() if foreign else 0
        self._just_begun = foreign
        self._paused = False
        return self.updates

    def seen_by(self, update: Update) -> int:
        """Return how many more updates to let pass after the first one: what new workers began together, if it waits
        for them."""
        first, self._just_begun = self._just_begun, False
        return self._in_flight_updates() if first and is_waiting([update]) else 0

    def counted(self, updates: Sequence[Update]) -> None:
        """Learn from the updates of a finished window without a what-if."""
        if not updates:
            return
        self._waits = is_waiting(updates)
        self._update_s = sum(update.end_ns - update.begin_ns for update in updates) / len(updates) / 1e9

    def _in_flight_updates(self) -> int:
        batches: int = self._controls.loaders.in_flight_batches()
        return math.ceil(batches / self._controls.batches)

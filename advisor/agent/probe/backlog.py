"""Batches that were fetched before a window: how many updates must pass before its loader's queue is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..loop.clock import Update
from ..settings.controls import Controls
from .recorder import Recorder
from .window_length import is_waiting

KEEP_UP = 0.7
"""Fraction of their time up to which workers keep up with a pace: beside a faster loop, each batch may take longer."""


class Backlog:
    """Judge of the batches in the workers' queue at the beginning of a window.

    They are another loader's after a switch. Where the loop waits for its workers, the queue is empty, but for a pause,
    in which they went on. Elsewhere it is full, and stays so whatever else is changed, unless the loop becomes faster
    than the workers: that shows once the window has counted.
    """

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._paused = True
        self._waits = True
        """The loop waits for data, as far as its last window shows."""
        self._update_s = 0.0
        """Length of an update in that window."""
        self._just_begun = False
        self._takes_queue_for_full = False
        self.updates = 0
        """Updates of the present window that are fed by batches fetched before it, as far as they are to be waited
        for."""

    def stood_still(self, seconds: float) -> None:
        """Note that no batch was taken for so long: for less than an update, it is a part of the loop's usual pace."""
        self._paused = self._paused or seconds > self._update_s

    def begin(self, *, changed: bool, switched: bool) -> int:
        """Return how many updates a window must let pass.

        `changed` says that its configuration is new, or a what-if was entered, and `switched` that the training's
        loader has other settings with it.
        """
        foreign = switched or (self._paused and self._waits)
        self._takes_queue_for_full = changed and not foreign and not self._waits
        self.updates = self._in_flight_updates() if foreign else 0
        self._just_begun = foreign
        self._paused = False
        return self.updates

    def seen_by(self, update: Update) -> int:
        """Return how many more updates to let pass after the first one: what new workers began together, if it waits
        for them."""
        first, self._just_begun = self._just_begun, False
        return self._in_flight_updates() if first and is_waiting([update]) else 0

    def outran_workers(self, recorder: Recorder) -> bool:
        """Return whether the window lives on batches fetched before it; it must then begin again, `updates` later."""
        if not self._takes_queue_for_full or not recorder.counted_ns:
            return False
        self._takes_queue_for_full = False
        batches = len(recorder.updates) * self._controls.batches
        busy = self._controls.loaders.busy_workers(batches / (recorder.counted_ns / 1e9))
        self.updates = self._in_flight_updates() if busy is None or busy > KEEP_UP else 0
        return self.updates > 0

    def counted(self, updates: Sequence[Update]) -> None:
        """Learn from the updates of a finished window without a what-if."""
        if not updates:
            return
        self._waits = is_waiting(updates)
        self._update_s = sum(update.end_ns - update.begin_ns for update in updates) / len(updates) / 1e9

    def _in_flight_updates(self) -> int:
        batches: int = self._controls.loaders.in_flight_batches()
        return math.ceil(batches / self._controls.batches)

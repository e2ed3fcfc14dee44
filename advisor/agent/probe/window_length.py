"""Length of a window: what it must have counted before it says something of its configuration.

Workers that start together deliver together, so a window beside them needs several of their rounds. Samples that are
cached ahead show the later epochs of a training, so a window ends where the first sample of another kind comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ... import wire
from ..loop.clock import DATA_WAIT, RESTART, Update
from ..settings.controls import Controls
from .recorder import Recorder

WAITS = 0.1
"""Share of waiting for data from which the workers' pace is the loop's."""
FIRST_UPDATES = 64
"""Updates that are looked at one by one, regardless of the window."""
SHORT_EPOCH_UPDATES = 4
"""Updates of an epoch from which its beginning is an exception among them."""
LONGEST_WARM_UP = 0.5
"""Fraction of a window's `max_s` that its warm-up may take."""
LONGEST_DRAIN = 2.0
"""The same while updates still use batches that were fetched before the switch or during the pause."""
BURSTS = 4
"""Rounds of all workers that a window needs: one more or less of them at its end changes a rate by less than its own
scatter."""


def is_waiting(updates: Sequence[Update]) -> bool:
    """Return whether these updates wait for data for a share worth having."""
    whole_ns = sum(update.end_ns - update.begin_ns for update in updates)
    return sum(update.phases_ns[DATA_WAIT] for update in updates) > WAITS * whole_ns


class WindowLength:
    """Judge of whether a window has counted enough."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._all_cached = True
        """No counted update has read a sample that was not cached."""

    def begin(self) -> None:
        """Begin to count: what was read before does not matter."""
        self._controls.loaders.take_read_anew()
        self._all_cached = True

    def settled(self, window: wire.Window, fetched_before: bool, spent_s: float) -> bool:
        """Return True if the warm-up must end: its time is up, and batches fetched before the switch are used up."""
        if fetched_before:
            return spent_s > LONGEST_DRAIN * window.max_s
        most_s = LONGEST_WARM_UP * window.max_s
        return spent_s > (most_s if window.warm_up_s is None else min(most_s, window.warm_up_s))

    def enough(self, window: wire.Window, recorder: Recorder, spent_s: float) -> bool:
        count = len(recorder.updates)
        if count >= window.max_updates or (count >= window.least_updates and spent_s >= window.max_s):
            return True
        begun = self._beginnings(recorder.updates)
        count -= len(begun)
        counted_ns = recorder.counted_ns - sum(update.end_ns - update.begin_ns for update in begun)
        long = count >= window.min_updates and counted_ns >= window.min_s * 1e9
        return long and count >= self.needed_updates(recorder.updates) and recorder.is_precise(window.precision)

    def _beginnings(self, updates: Sequence[Update]) -> list[Update]:
        """Return the updates that begin an epoch with a start of the loader, if they are an exception in the training.

        A short window that holds one needs as many others as without it.
        """
        if len(updates) > FIRST_UPDATES:
            return []
        begun = [update for update in updates if update.phases_ns[RESTART] > 0]
        epoch = self._controls.loaders.epoch_batches() if begun else None
        return begun if epoch is not None and epoch >= SHORT_EPOCH_UPDATES * self._controls.batches else []

    def needed_updates(self, updates: Sequence[Update]) -> int:
        """Return how many updates average the workers' bursts out; 0 if the loop does not wait for workers.

        The bursts of one epoch are those of the next, as each begins with empty queues: no more than one is needed.
        """
        loaders = self._controls.loaders
        workers = loaders.fetching_workers()
        if workers < 2 or not is_waiting(updates):
            return 0
        needed, epoch = BURSTS * workers, loaders.epoch_batches()
        return math.ceil((needed if epoch is None else min(needed, epoch)) / self._controls.batches)

    def quiet_updates(self, window: wire.Window, recorder: Recorder) -> int:
        """Return how many of the next updates need only be recorded, unless time runs out."""
        if self._controls.clock.updates < FIRST_UPDATES or self._controls.loaders.is_caching:
            return 0
        counted = len(recorder.updates)
        without_beginnings = counted - len(self._beginnings(recorder.updates))
        due = [window.least_updates - counted, window.min_updates - without_beginnings, window.max_updates - counted]
        return min((left for left in due if left > 0), default=0) - 1

    def leaves_cache(self, window: wire.Window, recorder: Recorder) -> bool:
        """Return whether the update that has just ended is the first of the window to read a sample anew."""
        if not self._controls.loaders.take_read_anew():
            return False
        leaves = self._all_cached and len(recorder.updates) >= window.least_updates
        self._all_cached = False
        return leaves

"""Reports of what the present window has counted: a script that hangs or is killed cannot end its window.

They are made beside the training thread. While the script trains, a few of them cover the first updates, and only if
these are long. Once it stands still, one holds all updates, and nobody waits for it.
"""

from __future__ import annotations

import traceback
from typing import Any

from ... import wire
from .conductor import Conductor

LONG_UPDATE_NS = 10_000_000
"""Mean length of an update from which reports are made while the script trains: one takes about 10 µs per update."""
MOST_UPDATES = 128
"""Updates up to which they are made."""
GROWTH = 1.5
"""Ratio of the updates in two successive reports, so that all of them cost three times as much as the last."""


class SoFar:
    """Maker of these reports; `look` is called about twice a second."""

    def __init__(self, conductor: Conductor, clock: Any, channel: Any, rank: int) -> None:
        self._conductor = conductor
        self._clock = clock
        self._channel = channel
        self._rank = rank
        self._recorder: object = None
        self._sent = 0
        self._events = -1

    def look(self) -> None:
        """Report what was counted, if that is due. Our faults are reported, too."""
        try:
            self._look()
        except Exception:
            self._channel.send(wire.Note(self._rank, "agent_error", traceback.format_exc()))

    def _look(self) -> None:
        stands_still = self._clock.events == self._events
        self._events = self._clock.events
        window, recorder = self._conductor.counting()
        if window is None or recorder is None or window.kind != "measure" or window.config or window.what_if:
            return
        if recorder is not self._recorder:
            self._recorder, self._sent = recorder, 0
        count = len(recorder.updates)
        is_long = recorder.counted_ns >= LONG_UPDATE_NS * count
        grown = count >= GROWTH * self._sent and count <= MOST_UPDATES and is_long
        if count > self._sent and (stands_still or grown):
            self._sent = count
            self._channel.send(wire.SoFar(self._conductor.report_so_far(window, recorder)))

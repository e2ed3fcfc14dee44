"""Time that Python's garbage collector takes from the training thread, and the lines that trigger full collections."""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

from ..loop.clock import StepClock
from ..loop.frames import Frames, Line

FULL = 2
"""Oldest generation, the only one whose collections take long."""


class GarbageTimer:
    """Timer of collections through `gc.callbacks`: one call before, one after, and nothing in between."""

    def __init__(self, clock: StepClock | None = None) -> None:
        """Count only the training thread if given a clock; a collection holds the interpreter's lock in any case."""
        self._clock = clock
        self._frames = Frames()
        self._begin_ns = 0
        self._spent_ns = 0
        self._collections = 0
        self._lines: dict[Line, list[float]] = {}
        self.install()

    def install(self) -> None:
        if self._seen not in gc.callbacks:
            gc.callbacks.append(self._seen)

    def remove(self) -> None:
        if self._seen in gc.callbacks:
            gc.callbacks.remove(self._seen)

    def take(self) -> tuple[float, int]:
        """Return the seconds and collections since the last `take`."""
        result = (self._spent_ns / 1e9, self._collections)
        self._spent_ns = self._collections = 0
        return result

    def take_lines(self) -> list[dict[str, Any]]:
        """Return the lines of full collections; a line that recurs is the user's own `gc.collect()`."""
        lines, self._lines = self._lines, {}
        return [
            {"file": file, "line": line, "function": function, "calls": int(calls), "seconds": seconds}
            for (file, line, function), (calls, seconds) in sorted(lines.items(), key=lambda item: -item[1][1])
        ]

    def _counts(self) -> bool:
        """Return whether a collection now takes the loop's time, which it does not while our own work pauses the
        loop."""
        return self._clock is None or (self._clock.mine() and not self._clock.paused)

    def _seen(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begin_ns = time.perf_counter_ns() if self._counts() else 0
            return
        if not self._begin_ns or not self._counts():
            return
        spent_ns = time.perf_counter_ns() - self._begin_ns
        self._begin_ns = 0
        self._spent_ns += spent_ns
        self._collections += 1
        if info.get("generation") == FULL:
            # The collector may run without a Python caller, as at the interpreter's end.
            frame = sys._getframe().f_back
            if self._frames.is_own(frame):
                return  # it became due in a hook of ours, and no line of the script requested it
            entry = self._lines.setdefault(self._frames.line(frame), [0, 0.0])
            entry[0] += 1
            entry[1] += spent_ns / 1e9

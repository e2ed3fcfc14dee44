"""Time that Python's garbage collector takes from the training thread."""

from __future__ import annotations

import gc
import time

from ..loop.clock import StepClock


class GarbageTimer:
    """Timer of collections through `gc.callbacks`: one call before, one after, and nothing in between."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._begin_ns = 0
        self._spent_ns = 0
        self._collections = 0
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

    def _counts(self) -> bool:
        """Return whether a collection now takes the loop's time, which it does not while our own work pauses the
        loop."""
        return self._clock.mine() and not self._clock.paused

    def _seen(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._begin_ns = time.perf_counter_ns() if self._counts() else 0
            return
        if not self._begin_ns or not self._counts():
            return
        spent_ns = time.perf_counter_ns() - self._begin_ns
        self._begin_ns = 0
        self._spent_ns += spent_ns
        self._collections += 1

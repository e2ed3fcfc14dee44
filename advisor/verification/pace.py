"""Progress of a verification: which process of how many is due, and how long the rest may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..progress import Progress


@dataclass(kw_only=True)
class Pace:
    """Announcer of the processes, by the time that earlier ones took."""

    progress: Progress
    budget_s: float
    process_s: float | None = None
    """Expected seconds of a process; None if nothing is known of the script."""
    clock: Callable[[], float] = time.monotonic
    _begin_s: float = field(init=False)
    _done: int = field(default=0, init=False)
    _planned: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._begin_s = self.clock()
        self.progress.time_left(self.left_s)

    def plan(self, processes: int) -> None:
        """Set how many processes more there are at most."""
        self._planned = self._done + processes

    def starts(self, processes: int) -> None:
        """Announce processes that start together."""
        self.progress.stage(f"verifying: starting {processes} processes together")

    def next(self) -> None:
        """Announce the next process."""
        self.progress.stage(f"verifying: process {self._done + 1} of at most {self._planned}")

    def done(self) -> None:
        self._done += 1
        self.process_s = (self.clock() - self._begin_s) / self._done

    def left_s(self) -> float:
        """Return the most seconds that the verification may still take."""
        passed_s = self.clock() - self._begin_s
        needed_s = math.inf if self.process_s is None else self._planned * self.process_s - passed_s
        return max(0.0, min(self.budget_s - passed_s, needed_s))

"""Compilations while updates are counted, whoever requested them; read from dynamo's counters without an import."""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

from ..base import modes

LONGEST_REASON = 160


class Recompiled(NamedTuple):
    update: int
    """Index of the update in its window."""
    times: int
    """Guards that failed: a function is recompiled for every shape that it has no code for."""
    seconds: float
    """Seconds spent compiling in this update, including first compilations."""


class RecompileLog:
    """Log of recompilations, updated after every update; empty if dynamo was never loaded or has other counters."""

    def __init__(self) -> None:
        self._frames = _frames()
        self._failures, self._seconds = _failures(), _seconds()
        self._all: list[Recompiled] = []

    def read(self, update: int) -> None:
        frames = _frames()
        if frames == self._frames:
            return
        failures, seconds = _failures(), _seconds()
        self._all.append(Recompiled(update, failures - self._failures, seconds - self._seconds))
        self._frames, self._failures, self._seconds = frames, failures, seconds

    def report(self) -> dict[str, object]:
        """Return the fields that a window reports; empty if nothing was recompiled."""
        if not any(each.times for each in self._all):
            return {}
        return {"recompiled": [list(each) for each in self._all], "recompile_reason": _latest_reason()}


class CompileTotals:
    """Compilations since the first update ended: a script that compiles in every update has no window to read.

    They end where something is changed for the first time: each setting has code of its own.
    """

    def __init__(self) -> None:
        self._begin_s: float | None = None
        self._seconds = 0.0
        self._until_change: dict[str, object] | None = None
        self._has_changed = False

    def first_update_ended(self) -> None:
        self._begin_s, self._seconds = time.perf_counter(), _seconds()

    def before_change(self) -> None:
        """Keep what the script has compiled by itself so far."""
        if not self._has_changed:
            self._until_change, self._has_changed = self.report(), True

    def report(self) -> dict[str, object] | None:
        """Return the fields of `types.Recompiling`; None if nothing was recompiled, or if we compile ourselves."""
        if self._has_changed:
            return self._until_change
        times = max((len(reasons) for reasons in getattr(_utils(), "guard_failures", {}).values()), default=0)
        if self._begin_s is None or not times or modes.compiling_by_us():
            return None
        return {
            "times": times,
            "seconds": _seconds() - self._seconds,
            "elapsed_s": time.perf_counter() - self._begin_s,
            "reason": _latest_reason(),
        }


def _utils() -> object:
    return sys.modules.get("torch._dynamo.utils")


def _frames() -> int:
    return int((getattr(_utils(), "counters", {}).get("frames") or {}).get("total", 0))


def _failures() -> int:
    return sum(len(reasons) for reasons in getattr(_utils(), "guard_failures", {}).values())


def _seconds() -> float:
    spent: dict[str, float] = getattr(_utils(), "calculate_time_spent", dict)()
    return float(spent.get("total_wall_time", 0.0))


def _latest_reason() -> str:
    """Return why existing code did not fit, in torch's words; "" if torch kept no reason."""
    failures = [reasons[-1] for reasons in getattr(_utils(), "guard_failures", {}).values() if reasons]
    return str(failures[-1]).partition(": ")[2][:LONGEST_REASON] if failures else ""

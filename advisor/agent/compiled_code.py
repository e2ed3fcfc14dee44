"""What torch compiles while updates are counted, whoever asked for it: read in dynamo's own books, not imported."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

LONGEST_REASON = 160


class Recompiled(NamedTuple):
    update: int
    """Index of the update in its window."""
    times: int
    """Guards that failed: a function is compiled anew for every shape that it has no code for."""
    seconds: float
    """Spent compiling in this update, code that was met for the first time included."""


class RecompileLog:
    """Asked after every update of a window; where dynamo was never loaded, or keeps other books, it stays empty."""

    def __init__(self) -> None:
        self._frames = _frames()
        self._failures, self._seconds = _failures(), _seconds()
        self._all: list[Recompiled] = []

    def look(self, update: int) -> None:
        frames = _frames()
        if frames == self._frames:
            return
        failures, seconds = _failures(), _seconds()
        self._all.append(Recompiled(update, failures - self._failures, seconds - self._seconds))
        self._frames, self._failures, self._seconds = frames, failures, seconds

    def report(self) -> dict[str, Any]:
        """As a window reports it; empty where nothing was compiled anew."""
        if not any(each.times for each in self._all):
            return {}
        return {"recompiled": [list(each) for each in self._all], "recompile_reason": _latest_reason()}


def _utils() -> Any:
    return sys.modules.get("torch._dynamo.utils")


def _frames() -> int:
    return int((getattr(_utils(), "counters", {}).get("frames") or {}).get("total", 0))


def _failures() -> int:
    return sum(len(reasons) for reasons in getattr(_utils(), "guard_failures", {}).values())


def _seconds() -> float:
    spent: dict[str, float] = getattr(_utils(), "calculate_time_spent", dict)()
    return float(spent.get("total_wall_time", 0.0))


def _latest_reason() -> str:
    """Why the code that was there did not serve, in torch's words; "" where it has kept none."""
    failures = [reasons[-1] for reasons in getattr(_utils(), "guard_failures", {}).values() if reasons]
    return str(failures[-1]).partition(": ")[2][:LONGEST_REASON] if failures else ""

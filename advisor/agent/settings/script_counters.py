"""Numbers that a script counts with, in the functions that are running and in its own module: read, never set."""

from __future__ import annotations

import math
import sys
from types import FrameType
from typing import Any, Callable

from ..loader.record import is_library

COUNTED = (bool, int, float)
MOST_NAMES = 2000
MOST_FRAMES = 50


class Counters:
    """Values of the names in the script's own running functions and main module when this was made."""

    def __init__(self) -> None:
        self._places = _places()
        self._before = _counted(self._places)

    def moved(self) -> list[str]:
        """Return the names whose numbers have changed since, the innermost function's first."""
        now = _counted(_places())
        found = [
            name for (place, name), value in self._before.items() if _differs(now.get((place, name), value), value)
        ]
        return list(dict.fromkeys(found))

    def held(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Return the objects of a kind that these names hold."""
        found = {id(value): value for names in self._places.values() for value in list(names.values()) if wanted(value)}
        self._places = {}  # it must not keep the script's objects alive
        return list(found.values())


def _differs(one: float, other: float) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return one != other and not both_nan


def _places() -> dict[str, dict[str, Any]]:
    """Return place → its names: the running functions of the script, innermost first, and its main module."""
    found: dict[str, dict[str, Any]] = {}
    frame: FrameType | None = sys._getframe(1)
    frames = 0
    while frame is not None and frames < MOST_FRAMES:
        code = frame.f_code
        if not is_library(code.co_filename):
            found.setdefault(f"{code.co_filename}:{code.co_firstlineno}:{code.co_name}", dict(frame.f_locals))
        frame, frames = frame.f_back, frames + 1
    found["__main__"] = dict(vars(sys.modules["__main__"]))
    return found


def _counted(places: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Any]:
    numbers = [
        ((place, name), value)
        for place, names in places.items()
        for name, value in names.items()
        if type(value) in COUNTED
    ]
    return dict(numbers[:MOST_NAMES])

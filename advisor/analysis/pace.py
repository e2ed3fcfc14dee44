"""Length of windows for updates of a given length, and the time that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOW_UPDATE_S = 0.15
"""Length above which another settling update costs more than it brings."""
WINDOW_S = 0.7
SHORTEST_WINDOW_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Length of windows for updates of this length, within the time that is left."""

    update_s: float
    window_s: float
    settle: int
    count: int
    stretch: float = 1.0
    """Time that passes for each second of updates: more than 1 if loaders restart between them, or a few updates take
    far longer than the others."""

    @classmethod
    def for_update(cls, update_s: float, left_s: float, windows: int, *, stretch: float = 1.0) -> Pace:
        settle = 3 if update_s < SLOW_UPDATE_S else 1
        window_s = min(WINDOW_S, max(SHORTEST_WINDOW_S, left_s / max(1, windows) - settle * update_s))
        return cls(
            update_s=update_s,
            window_s=window_s,
            settle=settle,
            count=max(2, math.ceil(0.5 * window_s / update_s)),
            stretch=stretch,
        )

    @property
    def cost_s(self) -> float:
        """Return about how many seconds a window takes in all."""
        return self.stretch * (max(self.window_s, self.count * self.update_s) + self.settle * self.update_s)

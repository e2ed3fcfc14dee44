"""Length of windows for updates of a given length, and the time that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass

SLOW_UPDATE_S = 0.15
"""Length above which another settling update costs more than it brings."""
WINDOW_S = 0.7
SHORTEST_WINDOW_S = 0.25
MOST_ROUNDS = 3
FEW_UPDATES = 4
"""Updates below which a window of a round says little: fewer rounds of longer windows tell more in the same time, since
two values hardly know their own spread, and three rounds hardly theirs."""


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
        """Return windows of a usual length, or shorter ones so that as many as there shall be fit into the time."""
        settle = 3 if update_s < SLOW_UPDATE_S else 1
        most_s = max(WINDOW_S, FEW_UPDATES * update_s)
        window_s = min(most_s, max(SHORTEST_WINDOW_S, left_s / max(1, windows) - settle * update_s))
        return cls(
            update_s=update_s,
            window_s=window_s,
            settle=settle,
            count=max(2, math.ceil(0.5 * window_s / update_s)),
            stretch=stretch,
        )

    @classmethod
    def in_rounds(
        cls, update_s: float, left_s: float, pairs: int, *, others: int, stretch: float = 1.0
    ) -> tuple[Pace, int]:
        """Return the length of windows and the number of rounds for so many pairs a round, and `others` besides."""
        for rounds in range(MOST_ROUNDS, 1, -1):
            pace = cls.for_update(update_s, left_s, 2 * pairs * rounds + others, stretch=stretch)
            if pace.updates >= FEW_UPDATES:
                break
        fit = int((left_s - others * pace.cost_s) / (2 * pairs * pace.cost_s))
        if fit <= 1:  # whatever there is for the only round
            return cls.for_update(update_s, left_s, 2 * pairs + others, stretch=stretch), 1
        return pace, min(rounds, fit)

    @property
    def updates(self) -> int:
        """Return about how many updates a window counts."""
        return max(self.count, math.ceil(self.window_s / self.update_s))

    @property
    def cost_s(self) -> float:
        """Return about how many seconds a window takes in all."""
        return self.stretch * (max(self.window_s, self.count * self.update_s) + self.settle * self.update_s)

"""Patience with a loss that has stopped falling: how it is written, and when it ends.

Both sides import this module, the agent under the script's interpreter: use only the standard library and Python 3.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

SMALLEST_CHANGE = 0.001
"""Relative fall that counts unless another is given: smaller ones are the noise of most evaluations."""
MOST_EVALUATIONS = 100_000
_FORM = re.compile(
    r"\s*(?P<count>\d+)\s*(?:evaluations?|epochs?)?\s*(?:,\s*(?P<change>\d+(?:\.\d*)?|\.\d+)\s*%\s*)?", re.ASCII
)
EXPECTED = "expected a number of evaluations, and the smallest change that counts, such as '5 evaluations, 0.1%'"


@dataclass(frozen=True)
class Patience:
    """Evaluations to wait for a lower loss."""

    evaluations: int
    smallest_change: float = SMALLEST_CHANGE
    """Part of the lowest loss that a new one must be lower by."""

    def __str__(self) -> str:
        plural = "" if self.evaluations == 1 else "s"
        return f"{self.evaluations} evaluation{plural}, {100 * self.smallest_change:g}%"


def patience_of(value: Any) -> Patience | None:
    """Return what a value such as `5 evaluations, 0.1%`, `5 epochs` or 5 says; None if it says nothing."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    match = _FORM.fullmatch(str(value))
    if match is None or not 1 <= int(match["count"]) <= MOST_EVALUATIONS:
        return None
    change = SMALLEST_CHANGE if match["change"] is None else float(match["change"]) / 100
    return Patience(int(match["count"]), change) if change < 1 else None


class Waiting:
    """Losses of evaluations in their order, and how long none was lower."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.lowest: float | None = None
        self.waited = 0
        """Evaluations since the loss was last lower by enough."""

    def saw(self, loss: float) -> bool:
        """Note a loss; return whether it has not fallen for as long as the patience lasts."""
        lowest = self.lowest
        if lowest is None or lowest - loss > self._patience.smallest_change * abs(lowest):
            self.lowest, self.waited = loss, 0
        else:
            self.waited += 1
        return self.waited >= self._patience.evaluations

    def begin_again(self) -> None:
        """Wait anew, as something has changed that losses follow."""
        self.waited = 0

"""Horizon of a search by losses: updates, or a time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...durations import seconds_of
from ...errors import UsageError
from ...spelling import parameter

LEAST_UPDATES = 40
"""Fewest updates of a horizon: fewer losses set no target."""
MOST_UPDATES = 10_000_000
LEAST_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Horizon:
    """One of both is set; the script as written turns it into the other."""

    text: str
    updates: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, text: str | float, *, objective: str) -> Horizon:
        """Read "600" as updates, and "90s", "5m" or "1h" as a time; raise UsageError for anything else."""
        word = str(text).strip()
        if re.fullmatch(r"\d+", word):
            updates = int(word)
            if objective == "loss_at_time":
                raise UsageError(
                    f"invalid {parameter('horizon', text)}: {parameter('objective', objective)} needs a time, such as "
                    f"{word}s or 5m"
                )
            if not LEAST_UPDATES <= updates <= MOST_UPDATES:
                raise UsageError(
                    f"invalid {parameter('horizon', text)}: expected {LEAST_UPDATES} to {MOST_UPDATES:,} updates"
                )
            return cls(text=f"{updates:,} updates", updates=updates)
        if not re.fullmatch(r"\d+(\.\d*)?\s*[smh]", word):
            raise UsageError(
                f"invalid {parameter('horizon', text)}: expected updates such as 2000, or a time such as 90s or 5m"
            )
        return cls(text=word, seconds=seconds_of(word, least_s=LEAST_S, name="horizon"))

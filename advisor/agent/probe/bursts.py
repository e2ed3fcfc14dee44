"""Bursts of batches: workers that start together deliver together, so a window needs several of their rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..loop.clock import DATA_WAIT, Update

WAITS = 0.1
"""Share of waiting for data from which the workers' pace is the loop's."""
BURSTS = 4
"""Rounds of all workers that a window needs: one more or less of them at its end changes a rate by less than its own
scatter."""


def is_waiting(updates: Sequence[Update]) -> bool:
    """Return whether these updates wait for data for a share worth having."""
    whole_ns = sum(update.end_ns - update.begin_ns for update in updates)
    return sum(update.phases_ns[DATA_WAIT] for update in updates) > WAITS * whole_ns


def needed_updates(updates: Sequence[Update], workers: int, micro_steps: int) -> int:
    """Return how many updates average the bursts out; 0 if the loop does not wait for its workers."""
    if workers < 2 or not is_waiting(updates):
        return 0
    return math.ceil(BURSTS * workers / max(1, micro_steps))

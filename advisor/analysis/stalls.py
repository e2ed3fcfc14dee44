"""Stalls of the machine: updates that something else has held up, in windows too short to average them out.

One update of 175 ms among eighteen of 17 ms made a what-if say 0.55 to 2.13. Nothing in the script takes so long: its
long windows would have shown it.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from .. import wire
from ..runtime.session_result import SessionResult
from ..wire import WindowRole
from .loader_starts import in_step_s
from .without_updates import without_updates

BEYOND_LONGEST = 2.0
"""Times the longest update of the script as written: what takes longer is none of its usual updates."""
BEYOND_MEDIAN = 4.0
"""Times the median of its window: under a what-if that makes all updates long, none is a stall."""
LEAST_SEEN = 50
"""Updates of the script as written that must be known: of fewer, the longest says little."""
MOST_SHARE = 0.1
"""Share of a window's updates: more are no exception."""


def without_stalls(windows: Sequence[wire.WindowDone], result: SessionResult) -> list[wire.WindowDone]:
    """Return the windows without stalled updates; as they are if too little is known of the script's own."""
    seen = [
        wall_s
        for name, outcome in result.outcomes.items()
        if isinstance(outcome, wire.WindowDone) and result.windows[name].role is WindowRole.PROFILE
        for wall_s in in_step_s(outcome)
    ]
    if len(seen) < LEAST_SEEN:
        return list(windows)
    longest_s = BEYOND_LONGEST * max(seen)
    return [without_updates(window, _stalled(window, longest_s)) for window in windows]


def _stalled(window: wire.WindowDone, longest_s: float) -> set[int]:
    walls_s = in_step_s(window)
    if not walls_s or max(walls_s) <= longest_s:
        return set()
    limit_s = max(longest_s, BEYOND_MEDIAN * statistics.median(walls_s))
    places = {place for place, wall_s in enumerate(walls_s) if wall_s > limit_s}
    return places if len(places) <= MOST_SHARE * len(walls_s) else set()

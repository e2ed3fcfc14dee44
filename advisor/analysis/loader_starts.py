"""Starts of a loader within windows: charged once per epoch, whichever window an epoch happens to begin in.

The update in which workers start is longer than the others beyond the start itself: the processes that begin take CPUs
from it, and its batch is not ready. In a window of a few updates it would be most of what is compared.
"""

from __future__ import annotations

import statistics

from .. import knobs, wire
from ..runtime.session_result import SessionResult
from ..types import Config
from .without_updates import without_updates

MOST_SHARE = 0.25
"""Share of a window's updates in which a loader may start so that these are set apart: of shorter epochs, they are an
ordinary part."""
LEAST_KEPT = 2
"""Updates that must remain: one has no spread."""


def apart(window: wire.WindowDone) -> wire.WindowDone:
    """Return the window without the updates in which its loader starts."""
    return without_updates(window, _starts(window))


def typical_s(result: SessionResult, done: wire.WindowDone) -> float | None:
    """Return the typical seconds of a start of this window's loader, from all windows whose loader starts alike."""
    wanted = _of_the_start(result.windows[done.id])
    starts_s: list[float] = []
    for name, outcome in result.outcomes.items():
        if not isinstance(outcome, wire.WindowDone):
            continue
        restarts = outcome.loader.restarts if outcome.loader is not None else 0
        # Few windows see a start: only of those are the settings looked at, as this runs between two windows.
        if (starts := _seconds(outcome) or [0.0] * restarts) and _of_the_start(result.windows[name]) == wanted:
            starts_s += starts
    return statistics.median(starts_s) if starts_s else None


def in_step_s(window: wire.WindowDone) -> list[float]:
    """Return the updates' wall times without the time off step: an evaluation falls into one window only."""
    beside = [sum(values) for values in zip(*window.off_step_s.values(), strict=True)] or [0.0] * len(window.wall_s)
    return [max(wall - off, 1e-9) for wall, off in zip(window.wall_s, beside, strict=True)]


def _starts(window: wire.WindowDone) -> set[int]:
    """Return the places of updates in which the loader starts; none where they are no exception."""
    places = {place for place, seconds in enumerate(_restarts_s(window)) if seconds > 0}
    updates = len(window.wall_s)
    few = len(places) <= MOST_SHARE * updates and updates - len(places) >= LEAST_KEPT
    return places if few else set()


def _seconds(window: wire.WindowDone) -> list[float]:
    """Return the seconds of each start, with what the update around it took longer than the others."""
    starts_s = [seconds for seconds in _restarts_s(window) if seconds > 0]
    places = sorted(_starts(window))
    if not places:
        return starts_s
    around_s, usual_s = in_step_s(window), statistics.median(in_step_s(apart(window)))
    return [seconds + max(0.0, around_s[place] - usual_s) for place, seconds in zip(places, starts_s, strict=True)]


def _restarts_s(window: wire.WindowDone) -> list[float]:
    return window.off_step_s.get("loader_restart", [])


def _of_the_start(window: wire.Window) -> Config:
    """Return the settings on which the cost of a loader's start depends."""
    return Config.of({name: value for name, value in window.config.items() if knobs.get(name).starts_the_loader})

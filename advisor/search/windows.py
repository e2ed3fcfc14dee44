"""Names and lengths of a search's windows."""

from __future__ import annotations

import math
from dataclasses import replace

from .. import wire
from ..analysis.pace import SLOW_UPDATE_S, Pace
from ..analysis.setting_windows import window
from ..types import Config
from ..wire import WindowRole
from .preset import SearchSettings

LEAST_WINDOW_S = 0.25
LONGER = 1.2
"""Factor by which a long trial must exceed the short one to add any information."""
FRESH_SETTLE = 10
"""Updates that a fresh process is given to settle; a slow script needs fewer."""
SLOW_FRESH_SETTLE = 4


def paced(
    update_s: float, settings: SearchSettings, *, available_s: float, windows: float, stretch: float = 1.0
) -> Pace:
    """Return windows of the desired length, or shorter ones so that as many fit."""
    settle = 3 if update_s < SLOW_UPDATE_S else 2
    each_s = available_s / windows / stretch - settle * update_s
    window_s = min(settings.window_s, max(LEAST_WINDOW_S, each_s))
    count = max(settings.least_updates, math.ceil(0.5 * window_s / update_s))
    return Pace(update_s=update_s, window_s=window_s, settle=settle, count=count, stretch=stretch)


def longer(pace: Pace, settings: SearchSettings) -> Pace | None:
    """Return the pace of a long trial; None if it would not be longer."""
    window_s = min(settings.long_window_s, pace.window_s * settings.long_window_s / settings.window_s)
    if window_s < LONGER * pace.window_s:
        return None
    return replace(pace, window_s=window_s, count=max(pace.count, math.ceil(0.5 * window_s / pace.update_s)))


def in_fresh_process(pace: Pace) -> Pace:
    """Return a pace that settles longer, for the first window of a script run."""
    settle = FRESH_SETTLE if pace.update_s < SLOW_UPDATE_S else SLOW_FRESH_SETTLE
    return replace(pace, settle=max(pace.settle, settle))


def baseline_window(name: str, pace: Pace) -> wire.Window:
    """Return a baseline window; its neighbours are compared with it."""
    return window(f"base {name}", WindowRole.BASELINE, Config(), pace)

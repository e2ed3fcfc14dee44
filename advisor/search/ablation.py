"""Ablation of a winner: windows without one setting at a time, beside windows with all settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType

from .. import knobs
from ..analysis import ratios as window_ratios
from ..analysis.pace import Pace
from ..analysis.setting_windows import window
from ..runtime.session import BASELINE_SETUP, InScriptRun, Planner, Setup
from ..runtime.session_result import SessionResult
from ..types import Config, Ratio
from ..wire import Window, WindowRole

ROUNDS = 3
NONE: Mapping[str, Collection[str]] = MappingProxyType({})


def windows(
    config: Config,
    pace: Pace,
    *,
    rounds: int = ROUNDS,
    left_s: Callable[[], float] = lambda: math.inf,
    setup: Setup = BASELINE_SETUP,
    dependents: Mapping[str, Collection[str]] = NONE,
    window_s: float | None = None,
) -> Planner:
    """Plan the ablation windows while there is time for a whole round; `setup` is that of the winner's script run.

    `dependents`: knob → knobs that mean nothing without it and are left out with it. `window_s`: total time of a
    window, if more is known than its pace.

    Settings that a running process cannot take back have no windows, and neither has a winner of one setting.
    """
    names = [name for name, _value in config.settings if knobs.get(name).scope == "live"]
    if len(config.settings) < 2 or not names:
        return
    removed = {name: frozenset({name, *dependents.get(name, ())}) for name in names}
    for number in range(rounds):
        if left_s() < (2 * len(names) + 1) * (window_s or pace.cost_s):
            return
        planned = [window(f"by knob all {number}", WindowRole.ABLATION, config, pace)]
        for name in names if number % 2 == 0 else names[::-1]:
            without = window(
                f"by knob without {name} {number}", WindowRole.LEFT_OUT, _rest(config, removed[name]), pace
            )
            planned.append(replace(without, left_out=name))
            planned.append(window(f"by knob all {number} after {name}", WindowRole.ABLATION, config, pace))
        yield InScriptRun(windows=planned, setup=setup)


def ratios(result: SessionResult, config: Config, *, epoch_samples: int | None = None) -> dict[str, Ratio]:
    """Return knob → speed-up of the winner with it over without it; a knob that could not be left out is missing.

    Empty for a configuration whose settings were not left out: what one of them gives depends on the others.
    """
    found = {}
    planned = [window for window in result.windows.values() if window.role is WindowRole.LEFT_OUT]
    whole = {window.id for window in result.windows.values() if _is_all_of(window, config)}
    for name, _value in config.settings if whole else ():
        ids = {window.id for window in planned if window.left_out == name}
        ratio = window_ratios.speedup(result, ids, epoch_samples, beside=window_ratios.Beside(WindowRole.ABLATION))
        if ratio is not None:
            found[name] = Ratio(speedup=1 / ratio.speedup, low=1 / ratio.high, high=1 / ratio.low, rounds=ratio.rounds)
    return found


def _is_all_of(window: Window, config: Config) -> bool:
    return window.role is WindowRole.ABLATION and window.config == config.as_dict()


def _rest(config: Config, removed: frozenset[str]) -> Config:
    return Config.of({name: value for name, value in config.settings if name not in removed})

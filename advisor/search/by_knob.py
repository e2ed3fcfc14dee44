"""What each setting of a winner gives: windows without it, one setting after the other, beside windows with all."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from .. import knobs
from ..session import ratios as window_ratios
from ..session.probe import Pace
from ..session.result import SessionResult
from ..session.session import AS_WRITTEN, InLife, Planner, Setup
from ..types import Config, Ratio
from .windows import window

ROUNDS = 3
NONE: Mapping[str, Collection[str]] = MappingProxyType({})
ALL = "by knob all"
"""How the windows with all settings begin; those without one are named after it."""


def windows(
    config: Config,
    pace: Pace,
    *,
    rounds: int = ROUNDS,
    left_s: Callable[[], float] = lambda: math.inf,
    setup: Setup = AS_WRITTEN,
    dependents: Mapping[str, Collection[str]] = NONE,
    window_s: float | None = None,
) -> Planner:
    """The plan, as long as there is time for a whole round; `setup` is that of the winner's life.

    `dependents`: knob → others that mean nothing without it, and are left out with it. `window_s`: what a window takes
    in all, where more is known of it than its pace.

    Settings that cannot be taken back in a running process, and a winner of one setting, have no windows.
    """
    names = [name for name, _value in config.settings if knobs.get(name).scope == "live"]
    if len(config.settings) < 2 or not names:
        return
    left_out = {name: frozenset({name, *dependents.get(name, ())}) for name in names}
    for number in range(rounds):
        if left_s() < (2 * len(names) + 1) * (window_s or pace.cost_s):
            return
        planned = [window(f"{ALL} {number}", config, pace)]
        for name in names if number % 2 == 0 else names[::-1]:
            planned.append(window(_without(name, number), _rest(config, left_out[name]), pace))
            planned.append(window(f"{ALL} {number} after {name}", config, pace))
        yield InLife(windows=planned, setup=setup)


def ratios(
    result: SessionResult, config: Config, *, epoch_samples: int | None = None, rounds: int = ROUNDS
) -> dict[str, Ratio]:
    """Knob → how many times as fast the winner is with it as without; a knob that could not be left out is missing."""
    found = {}
    for name, _value in config.settings:
        ids = {_without(name, number) for number in range(rounds)}
        ratio = window_ratios.speedup(result, ids, epoch_samples, beside=ALL)
        if ratio is not None:
            found[name] = Ratio(speedup=1 / ratio.speedup, low=1 / ratio.high, high=1 / ratio.low, rounds=ratio.rounds)
    return found


def _without(name: str, number: int) -> str:
    return f"by knob without {name} {number}"


def _rest(config: Config, left_out: frozenset[str]) -> Config:
    return Config.of({name: value for name, value in config.settings if name not in left_out})

"""What each setting of a winner gives, on a machine whose speeds are known."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from advisor import wire
from advisor.analysis.pace import Pace
from advisor.runtime.session import InScriptRun, Setup
from advisor.runtime.session_result import SessionResult
from advisor.search import ablation
from advisor.types import Config

PACE = Pace(update_s=0.01, window_s=0.2, settle=3, count=10)
WINNER = Config.of({"num_workers": 2, "precision": "bf16", "prefetch_factor": 4})
GAINS = {"num_workers": 2.0, "precision": 1.5, "prefetch_factor": 1.1}
Refuses = Callable[[dict[str, Any]], bool]


def carried_out(config: Config = WINNER, *, refuses: Refuses = lambda _config: False, **options: Any) -> SessionResult:
    """Every window takes as long as the gains of its settings say, on a machine that gets slower."""
    result, planner, now_s = SessionResult(), ablation.windows(config, PACE, **options), 0.0
    planned = next(planner, None)
    while planned is not None:
        assert isinstance(planned, InScriptRun)
        for window in planned.windows:
            now_s += 1.0
            result.windows[window.id], result.script_run_of[window.id] = window, 0
            result.outcomes[window.id] = (
                wire.WindowRefused(0, window.id, "refused", "needs workers")
                if refuses(window.config)
                else measured(window, now_s)
            )
        try:
            planned = planner.send(result.outcomes)  # type: ignore[assignment]
        except StopIteration:
            planned = None
    return result


def measured(window: wire.Window, at_s: float) -> wire.WindowDone:
    update_s = 0.01 * (1 + at_s / 100)
    for name in window.config:
        update_s /= GAINS[name]
    chance = random.Random(window.id)
    level = chance.gauss(1.0, 0.005)
    wall_s = [update_s * level * chance.gauss(1.0, 0.01) for _ in range(20)]
    return wire.WindowDone(
        rank=0,
        id=window.id,
        start_s=at_s,
        wall_s=wall_s,
        phases_s={},
        off_step_s={"evaluation": [0.0] * 20},
        micro_steps=[1] * 20,
        samples=[8] * 20,
        samples_from="indices",
        losses=[1.0] * 20,
        dropped_updates=3,
    )


def test_each_setting_is_told_its_gain() -> None:
    gains = {name: ratio.speedup for name, ratio in ablation.ratios(carried_out(), WINNER).items()}
    assert gains == {name: pytest.approx(gain, rel=0.02) for name, gain in GAINS.items()}


def test_the_interval_holds_the_gain() -> None:
    ratio = ablation.ratios(carried_out(), WINNER)["precision"]
    assert ratio.low < 1.5 < ratio.high
    assert ratio.rounds == ablation.ROUNDS


def test_every_window_without_a_setting_stands_between_two_with_all() -> None:
    order = [set(window.config) for window in carried_out().windows.values()]
    whole = set(GAINS)
    assert all((settings == whole) == (place % 7 % 2 == 0) for place, settings in enumerate(order))


def test_what_means_nothing_without_a_setting_is_left_out_with_it() -> None:
    found = ablation.ratios(carried_out(dependents={"num_workers": ("prefetch_factor",)}), WINNER)
    assert {name: ratio.rounds for name, ratio in found.items()} == dict.fromkeys(GAINS, ablation.ROUNDS)
    assert found["num_workers"].speedup == pytest.approx(2.2, rel=0.02)
    assert found["prefetch_factor"].speedup == pytest.approx(1.1, rel=0.02)


def test_a_setting_that_can_never_be_left_out_has_no_gain() -> None:
    found = ablation.ratios(carried_out(refuses=lambda config: "precision" not in config), WINNER)
    assert "precision" not in found


def test_gains_beside_settings_that_were_dropped_are_not_those_of_the_rest() -> None:
    assert ablation.ratios(carried_out(), Config.of({"num_workers": 2})) == {}


def test_one_setting_alone_needs_no_windows() -> None:
    assert carried_out(Config.of({"num_workers": 2})).windows == {}


def test_no_round_is_begun_that_there_is_no_time_for() -> None:
    assert carried_out(left_s=lambda: 3 * PACE.cost_s).windows == {}


def test_a_round_is_as_long_as_windows_were_seen_to_be() -> None:
    def left_s() -> float:
        return 8 * PACE.cost_s

    assert carried_out(left_s=left_s).windows
    assert carried_out(left_s=left_s, window_s=2 * PACE.cost_s).windows == {}


def test_the_windows_are_run_in_a_life_like_the_winners() -> None:
    setup = Setup(settings=Config.of({"threads": 2}))
    planned = next(ablation.windows(WINNER, PACE, setup=setup))
    assert isinstance(planned, InScriptRun)
    assert planned.setup == setup

"""A search without a budget takes what it needs, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import wire
from advisor.search import time_plan
from advisor.search.ending import IDLE_SUGGESTIONS, MOST_IDLE_S, PATIENCE_S, Idle
from advisor.search.time_plan import TimePlan, profile_s
from advisor.wire import WindowRole

from .machine import FULL_PRECISION, INPUT_BOUND, SMALL_STEPS, Machine
from .test_search import nothing_helps, workers_help


def folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


@pytest.mark.parametrize(
    ("update_s", "seconds"), [(0.001, 45.0), (0.2, 45.0), (1.0, 60.0), (3.0, 150.0), (10.0, 450.0), (100.0, 600.0)]
)
def test_the_profile_waits_for_enough_updates_of_any_length(update_s: float, seconds: float) -> None:
    assert profile_s(update_s) == seconds


def test_it_plans_before_its_first_trial_and_finds_what_a_large_budget_finds(tmp_path: Path) -> None:
    found = (INPUT_BOUND, FULL_PRECISION, SMALL_STEPS)
    planned = Machine(folder(tmp_path, "planned"), workers_help, *found, budget_s=None)
    given = Machine(folder(tmp_path, "given"), workers_help, *found, budget_s=600.0)
    assert planned.trials_s is not None
    assert planned.recommended().config == given.recommended().config
    assert planned.now_s < given.now_s


def test_it_ends_once_suggestions_bring_nothing(tmp_path: Path) -> None:
    found = (INPUT_BOUND, FULL_PRECISION, SMALL_STEPS)
    planned = Machine(folder(tmp_path, "planned"), nothing_helps, *found, budget_s=None)
    sampled = [trial for trial in planned.trials if "TPE" in trial.reason]
    assert len(sampled) <= IDLE_SUGGESTIONS


def test_fewer_suggestions_are_tried_in_vain_where_each_takes_long() -> None:
    quick, slow = Idle(), Idle()
    for number in range(IDLE_SUGGESTIONS):
        assert not quick.is_enough, number
        quick.saw(better=False, sampled=True, spent_s=1.0, gain=None)
    assert quick.is_enough
    slow.saw(better=False, sampled=True, spent_s=MOST_IDLE_S - 1, gain=None)
    assert not slow.is_enough
    slow.saw(better=True, sampled=True, spent_s=100.0, gain=None)
    slow.saw(better=False, sampled=True, spent_s=MOST_IDLE_S - 1, gain=None)
    assert not slow.is_enough
    slow.saw(better=False, sampled=True, spent_s=1.0, gain=None)
    assert slow.is_enough
    assert str(slow) == "2 suggestions in a row found nothing better"


@pytest.mark.parametrize("gain", [2.0, 20.0])
def test_patience_shrinks_with_a_clear_gain(gain: float) -> None:
    idle = Idle()
    idle.saw(better=True, sampled=False, spent_s=1000.0, gain=gain)
    idle.saw(better=False, sampled=False, spent_s=0.99 * PATIENCE_S / gain, gain=gain)
    assert not idle.is_enough
    idle.saw(better=False, sampled=False, spent_s=0.01 * PATIENCE_S / gain, gain=gain)
    assert idle.is_enough
    assert str(idle) == f"2 trials in a row found nothing better than {gain:g} times the speed"


def test_a_search_with_a_budget_uses_it(tmp_path: Path) -> None:
    given = Machine(folder(tmp_path, "given"), nothing_helps, INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=600.0)
    sampled = [trial for trial in given.trials if "TPE" in trial.reason]
    assert len(sampled) > IDLE_SUGGESTIONS
    assert given.trials_s is None


class Slower(Machine):
    """Its windows take longer than the lengths of its updates say: loaders restart within them."""

    stretch = 8.0

    def _outcome(self, window: wire.Window) -> Any:
        begin_s = self.now_s
        outcome = super()._outcome(window)
        self.now_s += (self.stretch - 1) * (self.now_s - begin_s)
        return outcome


def test_windows_that_take_longer_than_planned_get_more_time(tmp_path: Path) -> None:
    found = (INPUT_BOUND, FULL_PRECISION, SMALL_STEPS)
    quick = Machine(folder(tmp_path, "quick"), workers_help, *found, budget_s=None)
    slower = Slower(folder(tmp_path, "slower"), workers_help, *found, budget_s=None)
    assert slower.recommended().config == quick.recommended().config
    assert slower.trials_s is not None
    assert quick.trials_s is not None
    assert slower.trials_s > 2 * quick.trials_s


class Sluggish(Slower):
    """Loaders of dozens of workers start in every window."""

    stretch = 40.0


def far_faster(config: dict[str, Any]) -> float:
    return (20.0 if config.get("num_workers") else 1.0) * (1.05 if config.get("precision") == "bf16" else 1.0)


def slightly_faster(config: dict[str, Any]) -> float:
    return 1.2 if config.get("num_workers") else 1.0


def test_a_clear_gain_is_proven_before_slow_trials_look_for_the_rest(tmp_path: Path) -> None:
    found = (INPUT_BOUND, FULL_PRECISION, SMALL_STEPS)
    clear = Sluggish(folder(tmp_path, "clear"), far_faster, *found, budget_s=None)
    assert clear.recommended().config.as_dict().get("num_workers")
    assert clear.study.ended == "a trial found nothing better than 21 times the speed"
    assert not clear.windows(WindowRole.FINAL)
    doubtful = Sluggish(folder(tmp_path, "doubtful"), slightly_faster, *found, budget_s=None)
    assert len(doubtful.trials) > len(clear.trials)
    assert doubtful.windows(WindowRole.FINAL)


def test_under_a_budget_the_best_is_measured_again_and_the_rest_of_the_time_is_for_trials(tmp_path: Path) -> None:
    found = (INPUT_BOUND, FULL_PRECISION)
    clear = Slower(folder(tmp_path, "clear"), far_faster, *found, budget_s=300.0)
    doubtful = Slower(folder(tmp_path, "doubtful"), slightly_faster, *found, budget_s=300.0)
    assert clear.windows(WindowRole.FINAL)
    assert len(clear.trials) > len(doubtful.trials)


def test_restarts_are_planned_for(tmp_path: Path) -> None:
    never = Machine(folder(tmp_path, "never"), nothing_helps, INPUT_BOUND, budget_s=None).trials_s
    often = Machine(folder(tmp_path, "often"), nothing_helps, INPUT_BOUND, budget_s=None, restart_fraction=0.6).trials_s
    assert never is not None
    assert often == pytest.approx(2.5 * never)


def test_more_settings_and_slower_starts_are_given_more_time(tmp_path: Path) -> None:
    one = Machine(folder(tmp_path, "one"), nothing_helps, FULL_PRECISION, budget_s=None).trials_s
    more = Machine(
        folder(tmp_path, "more"), nothing_helps, INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=None
    ).trials_s
    assert one is not None
    assert more is not None
    assert one < more


def test_a_plan_is_bounded_and_says_when_it_ends() -> None:
    plan = TimePlan.of(knobs=3, trials_s=80.0, round_s=20.0, rounds=10, verify=True)
    assert (plan.search_s, plan.verification_s) == (100.0, 200.0)
    assert str(plan) == "3 settings to try, about 2 min to go"
    endless = TimePlan.of(knobs=1, trials_s=1e5, round_s=2e4, rounds=10, verify=True)
    assert (endless.search_s, endless.verification_s) == (time_plan.MOST_SEARCH_S, time_plan.MOST_VERIFICATION_S)
    assert TimePlan.of(knobs=1, trials_s=80.0, round_s=20.0, rounds=10, verify=False).verification_s == 0.0

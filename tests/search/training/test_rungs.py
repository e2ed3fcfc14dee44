"""Horizons as users write them, and the trainings that are planned for them."""

from __future__ import annotations

import pytest

from advisor.errors import UsageError
from advisor.search.training import Horizon, Plan, plan_of


def plan(updates: int = 900, **options: object) -> Plan:
    defaults = {"horizon_s": 90.0, "start_s": 5.0, "budget_s": None, "verify": True}
    return plan_of(updates=updates, **{**defaults, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "updates", "seconds"), [("600", 600, None), ("5m", None, 300.0), ("90 s", None, 90.0), (2000, 2000, None)]
)
def test_a_plain_number_is_updates_and_one_with_a_unit_a_time(
    text: str, updates: int | None, seconds: float | None
) -> None:
    found = Horizon.of(text, objective="time_to_loss")
    assert (found.updates, found.seconds) == (updates, seconds)


@pytest.mark.parametrize("text", ["", "ten", "-5", "5 updates", "12", "1.5", "0s"])
def test_other_horizons_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Horizon.of(text, objective="time_to_loss")


def test_a_loss_at_a_time_needs_a_time() -> None:
    with pytest.raises(UsageError, match="needs a time, such as 600s or 5m"):
        Horizon.of("600", objective="loss_at_time")


def test_each_rung_is_three_times_as_long_and_keeps_a_third() -> None:
    rungs = plan().rungs
    assert [rung.updates for rung in rungs] == [100, 300, 900]
    assert [rung.candidates for rung in rungs] == [14, 5, 2]
    assert [rung.last for rung in rungs] == [False, False, True]


def test_a_short_horizon_has_fewer_rungs() -> None:
    assert [rung.updates for rung in plan(200).rungs] == [67, 200]
    assert [rung.updates for rung in plan(100).rungs] == [100]
    assert plan(100).trainings == 14


def test_where_the_loss_rests_all_trainings_are_as_long_as_the_horizon() -> None:
    assert [(rung.updates, rung.candidates, rung.last) for rung in plan(rests=True).rungs] == [(900, 14, True)]
    assert plan(rests=True, budget_s=1100).trainings < 14


def test_rungs_end_behind_an_evaluation() -> None:
    assert [rung.updates for rung in plan(880, between_evaluations=44).rungs] == [88, 308, 880]
    assert [rung.updates for rung in plan(880, between_evaluations=400).rungs] == [880]


def test_a_budget_takes_candidates_away_down_to_four() -> None:
    whole, half, none = plan(), plan(budget_s=1100), plan(budget_s=5)
    assert whole.search_s + whole.verification_s > 1100
    assert half.search_s + half.verification_s <= 1100
    assert none.rungs[0].candidates == 4
    assert none.rungs[-1].candidates == 2


def test_side_by_side_they_take_less_time_but_for_the_last_rung() -> None:
    # 14 over 10 s, 5 over 30 s, 2 over 90 s, each with 5 s to start
    assert plan().search_s == pytest.approx(14 * 15 + 5 * 35 + 2 * 95)
    assert plan(together=3).search_s == pytest.approx(5 * 15 + 2 * 35 + 2 * 95)


def test_the_plan_says_what_is_to_be_done() -> None:
    assert str(plan()) == "trainings to try: 14 over 100, 5 over 300, 2 over 900 updates; about 19 min to go"

"""How many updates a process counts: as many as the gain needs, at least ten, and not for ever."""

from __future__ import annotations

import random

import pytest

from advisor import wire
from advisor.verification.windows import (
    LEAST_UPDATES,
    MOST_WINDOW_S,
    UPDATES,
    WINDOW_S,
    first_window,
    precision,
    same_window,
    updates_needed,
)


def updates(seconds: float, spread: float = 0.0, count: int = 40) -> list[float]:
    chance = random.Random(7)
    return [seconds * chance.gauss(1.0, spread) for _ in range(count)]


def counted(wall_s: list[float], dropped: int) -> wire.WindowDone:
    """The window of a process that has counted these updates, after others as warm-up."""
    return wire.WindowDone(
        rank=0,
        id="measured",
        start_s=0.0,
        wall_s=wall_s,
        phases_s={},
        off_step_s={},
        micro_steps=[],
        samples=[],
        samples_from="not known",
        losses=[],
        dropped_updates=dropped,
    )


def test_without_an_expected_gain_the_window_is_the_usual_one() -> None:
    window = first_window()
    assert (window.min_updates, window.min_s, window.precision) == (UPDATES, WINDOW_S, 0.0)


def test_a_clear_gain_needs_ten_updates_and_a_second() -> None:
    window = first_window(2.0)
    assert (window.min_updates, window.min_s, window.max_s) == (LEAST_UPDATES, 1.0, MOST_WINDOW_S)


def test_a_small_gain_needs_more_precise_windows() -> None:
    assert first_window(1.1).precision < first_window(1.3).precision < first_window(1.5).precision
    assert first_window(1.1).min_s == WINDOW_S


def test_a_huge_gain_is_still_measured_well_and_a_tiny_one_within_reason() -> None:
    assert precision(20.0) == precision(1.5)
    assert precision(1.0) == precision(1.05) > 0.005


def test_a_loss_needs_what_the_same_gain_needs() -> None:
    assert precision(0.8) == pytest.approx(precision(1.25))


def test_the_faster_version_has_its_time_too() -> None:
    """Of a window of one second, sixteen workers would deliver two bursts."""
    assert first_window(16.0).min_s == pytest.approx(4.0)


def test_a_fivefold_gain_of_steady_updates_needs_ten_more() -> None:
    assert updates_needed([updates(0.2, 0.05), updates(0.04, 0.05)], 5.0) == LEAST_UPDATES


def test_updates_that_scatter_need_more_of_them() -> None:
    few = updates_needed([updates(0.02, 0.05), updates(0.02, 0.05)], 1.2)
    many = updates_needed([updates(0.02, 0.05), updates(0.02, 0.9, 300)], 1.2)
    assert few < many


def test_no_window_is_longer_than_seven_seconds_but_for_ten_updates() -> None:
    assert updates_needed([updates(0.1, 0.9), updates(0.1, 0.9)], 1.01) * 0.1 == pytest.approx(MOST_WINDOW_S, rel=0.02)
    assert updates_needed([updates(30.0), updates(10.0)], 3.0) == LEAST_UPDATES


@pytest.mark.parametrize(("more", "most_s"), [(None, 13.0), (400, 31.0)])
def test_a_far_slower_version_is_cut_off_where_it_is_clearly_slower(more: int | None, most_s: float) -> None:
    """It would take a minute for the updates that the first process made in two seconds."""
    window = same_window(counted([0.02] * 100, dropped=10), updates=more)
    assert (window.least_updates, window.max_s) == (LEAST_UPDATES, pytest.approx(most_s))


def test_all_processes_count_the_updates_of_the_first() -> None:
    window = same_window(counted([0.1] * 70, dropped=12))
    assert (window.warm_up_updates, window.min_updates, window.max_updates) == (12, 70, 70)

"""Trend of losses: of made series with known properties, and of the windows of a session."""

from __future__ import annotations

import random

import pytest

from advisor import wire
from advisor.analysis.loss_trend import LEAST_LOSSES, loss_trend, points
from advisor.runtime.session_result import SessionResult


def noisy(count: int, slope: float = 0.0, noise: float = 0.1, seed: int = 0) -> list[tuple[int, float]]:
    drawn = random.Random(seed)
    return [(update, 3 + slope * update + noise * drawn.gauss(0, 1)) for update in range(count)]


def test_slopes_and_noise_are_those_of_the_series() -> None:
    found = loss_trend(noisy(400, slope=-0.005))
    assert found is not None
    assert found.late_low <= -0.005 <= found.late_high
    assert found.early_slope == pytest.approx(-0.005, rel=0.1)
    assert found.noise == pytest.approx(0.1, rel=0.1)
    assert found.start - found.end == pytest.approx(0.005 * 360, rel=0.05)


def test_independent_noise_is_no_spike_and_does_not_alternate() -> None:
    for seed in range(20):
        found = loss_trend(noisy(200, noise=0.5, seed=seed))
        assert found is not None
        assert found.spikes == 0
        assert found.alternation is not None
        assert abs(found.alternation) < 0.25


def test_losses_that_swing_alternate() -> None:
    found = loss_trend([(update, 2 + 0.3 * (-1) ** update + loss) for update, loss in noisy(200)])
    assert found is not None
    assert found.alternation is not None
    assert found.alternation < -0.6


def test_bursts_are_counted_once() -> None:
    series = noisy(300, noise=0.05)
    for begin in (100, 150, 220):
        for at in range(begin, begin + 4):
            series[at] = (at, 30.0)
    found = loss_trend(series)
    assert found is not None
    assert (found.spikes, found.highest) == (3, 30.0)


def test_few_losses_make_no_trend() -> None:
    assert loss_trend(noisy(LEAST_LOSSES - 1)) is None


def test_losses_after_a_window_that_changes_the_training_are_left_out() -> None:
    result = SessionResult()
    planned = [
        wire.Window(id="as written"),
        wire.Window(id="trace", kind="trace"),
        wire.Window(id="loader", kind="drain", what_if="loader_alone"),
        wire.Window(id="base 1"),
        wire.Window(id="what if", what_if="no_optimizer"),
        wire.Window(id="base 2"),
    ]
    for number, window in enumerate(planned):
        result.windows[window.id] = window
        result.script_run_of[window.id] = 0
        result.outcomes[window.id] = wire.WindowDone(
            rank=0,
            id=window.id,
            start_s=float(number),
            wall_s=[0.1] * 2,
            phases_s={},
            off_step_s={},
            micro_steps=[1, 1],
            samples=[None, None],
            samples_from="not known",
            losses=[float(number), None],
            dropped_updates=0,
            updates_before=10 * number,
            extra={"nan_losses": 1} if number in (1, 5) else {},
        )
    assert points(result) == ([(0, 0.0), (10, 1.0), (20, 2.0), (30, 3.0)], 1)

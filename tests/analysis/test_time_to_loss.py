"""Curves of known shape: when they reach a loss, and which of them say nothing."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable

import pytest

from advisor.analysis.time_to_loss import (
    POINTS,
    Target,
    Unclear,
    binned,
    end_loss,
    has_diverged,
    judged_loss,
    loss_at,
    rises_again,
    smoothed,
    target_of,
    time_to,
    until,
)
from advisor.types import LossCurve

UPDATE_S = 0.01


def curve(loss: Callable[[int], float | None], updates: int = 1000, *, noise: float = 0.0, seed: int = 0) -> LossCurve:
    """Losses by the update's number, with normal noise."""
    chance = random.Random(seed)
    values = [loss(number) for number in range(1, updates + 1)]
    return LossCurve(
        updates=tuple(range(1, updates + 1)),
        seconds=tuple(UPDATE_S * number for number in range(1, updates + 1)),
        losses=tuple(None if value is None else value + chance.gauss(0.0, noise) for value in values),
    )


def falling(half_life: float) -> Callable[[int], float]:
    return lambda number: 2.0 * 0.5 ** (number / half_life) + 1.0


def target(found: Target | Unclear) -> Target:
    assert isinstance(found, Target), found
    return found


def test_a_loss_that_falls_all_the_time_is_reached_at_the_end() -> None:
    baseline = curve(falling(400), noise=0.05)
    found = target(target_of(baseline))
    assert found.loss == pytest.approx(2.0 * 0.5**2.375 + 1.0, abs=0.05)  # the middle of the last tenth
    assert found.reached_s == pytest.approx(10.0, rel=0.12)


def test_the_time_to_a_loss_halves_with_the_half_life() -> None:
    ratios = []
    for seed in range(20):
        baseline = curve(falling(400), noise=0.1, seed=seed)
        faster = curve(falling(200), noise=0.1, seed=100 + seed)
        found = target(target_of(baseline))
        reached = time_to(faster, found.loss)
        assert reached is not None
        ratios.append(found.reached_s / reached)
    assert statistics.fmean(ratios) == pytest.approx(1.9, abs=0.15)  # both lag by the same smoothing
    assert statistics.stdev(ratios) < 0.25


def test_a_baseline_on_a_plateau_reaches_its_target_where_the_plateau_begins() -> None:
    plateau = curve(lambda number: max(1.0, 3.0 - number / 100), noise=0.01)
    assert target(target_of(plateau)).reached_s < 4.5


def test_a_curve_that_stays_above_never_reaches_it() -> None:
    assert time_to(curve(falling(4000)), 1.1) is None


def test_the_loss_at_a_time_is_that_of_the_curve_until_then() -> None:
    found = curve(falling(400), noise=0.02)
    assert loss_at(found, 5.0) == pytest.approx(end_loss(until(found, 5.0)), abs=0.1)
    assert loss_at(found, 60.0) == end_loss(found)
    assert loss_at(found, 0.001) is None


def test_single_spikes_do_not_move_the_smoothed_loss() -> None:
    plain = curve(falling(400), 300)
    spiked = curve(lambda number: 1e6 if number % 50 == 0 else falling(400)(number), 300)
    assert smoothed(spiked).losses[-1] == pytest.approx(smoothed(plain).losses[-1], rel=0.02)


def test_long_curves_are_thinned_by_means_that_keep_the_last_update() -> None:
    long = curve(falling(4000), 10_007, noise=0.1)
    short = binned(long)
    assert len(short) <= POINTS
    assert short.updates[-1] == 10_007
    assert short.seconds[-1] == long.seconds[-1]
    known = [loss for loss in long.losses if loss is not None]
    last = short.updates[-1] - short.updates[-2]
    assert short.losses[-1] == pytest.approx(statistics.fmean(known[-last:]))
    first = short.updates[0]
    assert short.losses[0] == pytest.approx(statistics.fmean(known[:first]))


@pytest.mark.parametrize(
    ("baseline", "why"),
    [
        (curve(falling(10), 12), "the losses of 12 updates were seen, and 20 are needed"),
        (curve(lambda _number: None), "its loss is not known: what it differentiates is not a single finite number"),
        (curve(lambda _number: 2.3, noise=0.2), "its loss does not fall within its own noise over 1,000 updates"),
        (
            curve(lambda number: None if number > 700 else 1.0),
            "its loss is not a finite number at the end",
        ),
    ],
)
def test_what_sets_no_target(baseline: LossCurve, why: str) -> None:
    is_seen = "needed" not in why and "not known" not in why
    assert target_of(baseline) == Unclear(why=why, is_seen=is_seen)


def test_noise_alone_seldom_sets_a_target() -> None:
    flat = [target_of(curve(lambda _number: 2.3, 200, noise=0.3, seed=seed)) for seed in range(200)]
    assert sum(isinstance(found, Target) for found in flat) <= 6


def test_a_small_fall_beneath_much_noise_is_seen_over_many_updates() -> None:
    assert isinstance(target_of(curve(lambda number: 2.3 - 0.3 * number / 2000, 2000, noise=0.3)), Target)


def evaluations(*losses: float) -> LossCurve:
    at = range(1, len(losses) + 1)
    return LossCurve(updates=tuple(10 * number for number in at), seconds=tuple(map(float, at)), losses=losses)


@pytest.mark.parametrize(
    ("losses", "lowest"),
    [
        ((1.0, 0.5, 0.6, 0.8), 0.5),
        ((1.0, 0.6, 0.5, 0.55, 0.6, 0.66, 0.7, 0.8), 0.5),
        ((1.0, 0.6, 0.5, 0.7, 1.0, 1.3, 1.6, 2.0), 0.5),  # higher at the end than at first: no target at all before
        ((0.9, 0.8, 0.7, 0.72, 0.71, 0.74, 0.73, 0.76, 0.75, 0.78), 0.7),
    ],
)
def test_evaluations_that_rise_again_are_judged_by_their_lowest(losses: tuple[float, ...], lowest: float) -> None:
    found = target(target_of(evaluations(*losses), of_evaluations=True))
    assert (found.judged_by, found.loss) == ("lowest", lowest)
    assert found.reached_s == losses.index(lowest) + 1.0
    assert judged_loss(evaluations(*losses), "lowest", found.reached_s - 0.5) == losses[losses.index(lowest) - 1]


@pytest.mark.parametrize(
    "losses",
    [
        (1.0, 0.8, 0.7, 0.6),
        (1.0, 0.5, 0.4, 0.41),  # one evaluation behind the lowest shows no rise
        (1.0, 0.6, 0.5, 0.45, 0.46, 0.45, 0.46),  # a plateau
    ],
)
def test_evaluations_that_fall_are_judged_by_their_end(losses: tuple[float, ...]) -> None:
    assert target(target_of(evaluations(*losses), of_evaluations=True)).judged_by == "end"


def test_evaluations_that_never_fall_set_no_target_and_say_where_they_began() -> None:
    why = (
        "the loss of its evaluations does not stay below where it began, 1.108, in 40 updates, and is 1.112 at the end"
    )
    assert target_of(evaluations(1.108, 1.109, 1.11, 1.112), of_evaluations=True) == Unclear(why=why, is_seen=True)


def test_the_noise_of_evaluations_seldom_looks_like_a_rise() -> None:
    chance = random.Random(1)
    flat = [evaluations(*(2.0 + chance.gauss(0.0, 0.1) for _ in range(count))) for count in range(6, 46)]
    level = [
        evaluations(*(1.0 + 0.3**number + chance.gauss(0.0, 0.01) for number in range(count))) for count in range(6, 46)
    ]
    assert sum(map(rises_again, flat)) <= 3
    assert sum(map(rises_again, level)) <= 3
    assert sum(isinstance(target_of(one, of_evaluations=True), Target) for one in flat) <= 5


def test_few_evaluations_are_enough_since_each_is_a_mean() -> None:
    few = LossCurve(updates=(10, 20, 30, 40), seconds=(1.0, 2.0, 3.0, 4.0), losses=(2.0, 1.5, 1.2, 1.1))
    assert target(target_of(few, of_evaluations=True)) == Target(loss=1.1, reached_s=4.0)
    assert time_to(few, 1.35) == pytest.approx(2.5)
    assert isinstance(target_of(few), Unclear)


def test_evaluations_that_fall_fast_at_first_set_a_target() -> None:
    losses = tuple(0.05 + 2.0 * 0.4**number for number in range(20))
    fast = LossCurve(updates=tuple(range(1, 21)), seconds=tuple(map(float, range(1, 21))), losses=losses)
    assert isinstance(target_of(fast, of_evaluations=True), Target)
    rising = LossCurve(updates=fast.updates, seconds=fast.seconds, losses=losses[::-1])
    assert isinstance(target_of(rising, of_evaluations=True), Unclear)


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        (falling(400), False),
        (lambda number: 2.3, False),
        (lambda number: None if number > 990 else 1.0, True),
        (lambda number: None if number == 500 else falling(400)(number), False),
        (lambda number: 2.0 + math.exp(number / 100), True),
        (lambda number: 5.0 if number == 30 else falling(400)(number), False),
    ],
)
def test_divergence_is_losses_that_are_gone_or_higher_than_at_first(
    losses: Callable[[int], float | None], diverged: bool
) -> None:
    assert has_diverged(curve(losses, noise=0.05)) is diverged

"""Landmarks and suggestions of sweeps whose curves are known: plain, noisy, flat, diverging at once, still falling."""

from __future__ import annotations

import math
import random

import pytest

from advisor.analysis.range_test import EDGE_MARGIN, MARGIN, judge, shape_of
from advisor.rate_curve import smoothed
from advisor.types import RateSweep

FALLS, VALLEY, DIVERGES = 0.01, 0.3, 1.0


def loss_at(rate: float, start: float = 2.0) -> float:
    """A loss that falls from FALLS on, is lowest at VALLEY, and diverges from DIVERGES on."""
    place = math.log10(rate)
    if rate < FALLS:
        return start
    if rate < VALLEY:
        return start - (place - math.log10(FALLS)) / (math.log10(VALLEY) - math.log10(FALLS))
    return start - 1 + 3 * max(0.0, place - math.log10(VALLEY)) ** 2 + (20 if rate > 3 * DIVERGES else 0)


def sweep(
    count: int = 50,
    low: float = 1e-4,
    high: float = 10.0,
    noise: float = 0.0,
    seed: int = 0,
    reference: list[float] | None = None,
    curve: object = loss_at,
) -> RateSweep:
    """A sweep whose losses hold the noise of the batches in `reference`, or noise of their own."""
    generator = random.Random(seed)
    rates, losses = [], []
    for place in range(count):
        rate = low * (high / low) ** (place / (count - 1))
        loss = curve(rate) + (reference[place] - 2.0 if reference is not None else noise * generator.gauss(0, 1))  # type: ignore[operator]
        rates.append(rate)
        losses.append(loss)
        if curve(rate) > 6:  # type: ignore[operator]
            return RateSweep(rates=tuple(rates), losses=tuple(losses), ended="diverged")
    return RateSweep(rates=tuple(rates), losses=tuple(losses), ended="complete")


def batches(noise: float, seed: int = 1, count: int = 60) -> list[float]:
    generator = random.Random(seed)
    return [2.0 + noise * generator.gauss(0, 1) for _ in range(count)]


@pytest.mark.parametrize("counts", [(50,), (50, 40, 30)])
def test_the_bracket_of_a_plain_curve(counts: tuple[int, ...]) -> None:
    found = judge([sweep(count) for count in counts])
    assert found.bracket is not None
    assert found.bracket.falls_from == pytest.approx(FALLS * 1.5, rel=0.6)
    assert found.bracket.valley == pytest.approx(VALLEY, rel=0.4)
    assert FALLS < found.bracket.steepest < VALLEY
    assert VALLEY < (found.bracket.diverges_from or 0) < 5 * DIVERGES


def test_the_suggestion_keeps_its_distance_from_valley_and_edge() -> None:
    found = judge([sweep(50), sweep(40), sweep(30)])
    assert found.bracket is not None
    assert found.suggestion is not None
    assert found.suggestion.rate <= found.bracket.valley / MARGIN * 1.3
    assert found.suggestion.rate <= (found.bracket.diverges_from or math.inf) / EDGE_MARGIN * 1.3
    assert found.suggestion.low < found.suggestion.rate < found.suggestion.high
    assert found.suggestion.rate > FALLS


@pytest.mark.parametrize("seed", range(8))
def test_the_noise_of_batches_is_taken_off_by_the_reference(seed: int) -> None:
    """Noise three times the fall hides everything without a reference, and nothing with one."""
    reference = batches(3.0, seed)
    sweeps = [sweep(count, reference=reference) for count in (50, 40, 30)]
    with_it, plain = judge(sweeps, reference), judge([sweep(count) for count in (50, 40, 30)])
    assert with_it.suggestion is not None
    assert plain.suggestion is not None
    assert with_it.suggestion.rate == pytest.approx(plain.suggestion.rate, rel=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_some_noise_moves_the_suggestion_little(seed: int) -> None:
    found = judge([sweep(count, noise=0.1, seed=seed + count) for count in (50, 40, 30)])
    assert found.suggestion is not None
    assert VALLEY / 15 < found.suggestion.rate < VALLEY


def test_noise_that_grows_with_the_rate_suggests_nothing() -> None:
    """As in a training on random tokens: less the reference, losses at low rates are zero, and no rate lowers them."""
    reference = [2.0] * 60

    def grown(count: int, seed: int) -> RateSweep:
        generator = random.Random(seed * 10 + count)
        plain = sweep(count, reference=reference, curve=lambda rate: 2.0)
        losses = [2.0 + 0.2 * rate**0.5 * generator.gauss(0, 1) for rate in plain.rates]
        return RateSweep(rates=plain.rates, losses=tuple(losses), ended="complete")

    found = [judge([grown(count, seed) for count in (50, 40, 30)], reference).suggestion for seed in range(60)]
    assert sum(one is not None for one in found) <= 6


@pytest.mark.parametrize("seed", range(20))
def test_pure_noise_suggests_nothing(seed: int) -> None:
    sweeps = [sweep(count, noise=1.0, seed=seed * 10 + count, curve=lambda rate: 2.0) for count in (50, 40, 30)]
    found = judge(sweeps)
    assert found.suggestion is None
    assert found.why


def test_a_flat_curve_suggests_nothing() -> None:
    found = judge([sweep(50, curve=lambda rate: 2.0)])
    assert (found.bracket, found.suggestion) == (None, None)
    assert found.why == "no rate changed the loss by more than its own noise"


def test_a_loss_that_only_rises_suggests_nothing() -> None:
    found = judge([sweep(50, curve=lambda rate: 2.0 + (30 * rate if rate > 0.01 else 0.0))])
    assert found.suggestion is None
    assert found.why == "the loss did not fall clearly at any rate before it diverged"


def test_a_loss_that_still_falls_at_the_end_suggests_nothing() -> None:
    found = judge([sweep(50, high=0.2), sweep(40, high=0.2)])
    assert found.suggestion is None
    assert found.why.startswith("the loss still falls at the highest rate")


def test_sweeps_that_disagree_suggest_nothing() -> None:
    found = judge([sweep(50), sweep(50, curve=lambda rate: loss_at(min(rate * 100, 20.0)))])
    assert found.suggestion is None
    assert found.why.startswith("the sweeps disagree")


def test_losses_that_are_no_numbers_are_an_edge() -> None:
    whole = sweep(50)
    cut = next(place for place, rate in enumerate(whole.rates) if rate > 1.5 * VALLEY)
    losses = (*whole.losses[:cut], None)
    broken = RateSweep(rates=whole.rates[: cut + 1], losses=losses, ended="not finite")
    shape = shape_of(broken)
    assert shape is not None
    assert shape.edge == pytest.approx(math.log10(whole.rates[cut]))


def test_one_spike_is_no_divergence() -> None:
    whole = sweep(50)
    losses = [loss + (3.0 if place == 20 else 0.0) for place, loss in enumerate(whole.losses) if loss is not None]
    spiked = RateSweep(rates=whole.rates, losses=tuple(losses), ended=whole.ended)
    shape, plain = shape_of(spiked), shape_of(whole)
    assert shape is not None
    assert plain is not None
    assert shape.valley == pytest.approx(plain.valley, abs=0.2)


def test_no_sweep_is_told() -> None:
    assert judge([]).why == "no sweep was completed"


def test_a_line_is_its_own_smoothing() -> None:
    places = [number / 10 for number in range(30)]
    assert smoothed(places, [3 * place - 1 for place in places]) == pytest.approx([3 * place - 1 for place in places])

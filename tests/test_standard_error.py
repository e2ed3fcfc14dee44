"""The standard error of a window's mean: what it is for independent updates, for bursts, and for too few."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from advisor.standard_error import of_mean


@pytest.mark.parametrize("count", [10, 20, 200, 1000])
def test_it_is_that_of_independent_updates(count: int) -> None:
    chance = random.Random(count)
    found = [of_mean([chance.gauss(1.0, 0.1) for _ in range(count)]) for _ in range(200)]
    assert statistics.fmean(found) == pytest.approx(0.1 / math.sqrt(count), rel=0.1)


def test_updates_that_hang_together_say_less_than_their_number() -> None:
    """Half of them slow, one half after the other: a thousand updates of which only two are independent."""
    assert of_mean([1.0] * 500 + [2.0] * 500) > 3 * statistics.stdev([1.0] * 500 + [2.0] * 500) / 1.5 / math.sqrt(1000)


def test_regular_bursts_average_out() -> None:
    assert of_mean([4.0, 0.1, 0.1, 0.1] * 100) < 0.01


def test_it_does_not_depend_on_the_unit() -> None:
    assert of_mean([1.0, 2.0, 3.0]) == pytest.approx(of_mean([1e9, 2e9, 3e9]))


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0]])
def test_of_fewer_than_two_nothing_is_known(values: list[float]) -> None:
    assert of_mean(values) == math.inf

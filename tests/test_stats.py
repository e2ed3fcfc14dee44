"""The statistics, against tables and against simulations with a known truth."""

from __future__ import annotations

import random
import statistics

import pytest

from advisor.stats import (
    mean_interval,
    mser5,
    percentile,
    rate_interval,
    ratio_interval,
    robust_deviation,
    student_t_quantile,
    theil_sen,
)


def autoregressive(random_numbers: random.Random, count: int, *, correlation: float, deviation: float) -> list[float]:
    """AR(1) noise around 0 with the given correlation of neighbours."""
    value, values = random_numbers.gauss(0, deviation), []
    for _ in range(count):
        value = correlation * value + random_numbers.gauss(0, deviation * (1 - correlation**2) ** 0.5)
        values.append(value)
    return values


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (9, 2.2622), (30, 2.0423), (120, 1.9799)],
)
def test_t_quantile_agrees_with_the_tables(degrees: int, quantile: float) -> None:
    assert student_t_quantile(0.975, degrees) == pytest.approx(quantile, abs=1e-4)


def test_t_quantile_is_symmetric() -> None:
    assert student_t_quantile(0.05, 7) == pytest.approx(-student_t_quantile(0.95, 7))


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (25, 1.75), (50, 2.5), (100, 4.0)])
def test_percentile_interpolates(percent: float, value: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(value)


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


def test_mean_interval_of_a_textbook_sample() -> None:
    interval = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (interval.low, interval.high) == pytest.approx((3 - 1.9632, 3 + 1.9632), abs=1e-3)


def test_ratio_interval_is_candidate_over_baseline() -> None:
    interval = ratio_interval([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)])
    assert (interval.low, interval.value, interval.high) == pytest.approx((2.0, 2.0, 2.0))


def test_ratio_interval_turned_round_is_the_reciprocal() -> None:
    pairs = [(1.0, 1.9), (1.1, 2.3), (0.9, 1.8)]
    there, back = ratio_interval(pairs), ratio_interval([(b, a) for a, b in pairs])
    assert (1 / back.high, 1 / back.value, 1 / back.low) == pytest.approx((there.low, there.value, there.high))


def test_ratio_interval_refuses_one_pair() -> None:
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        ratio_interval([(1.0, 2.0)])


def test_ratio_interval_names_the_pair_that_is_no_ratio() -> None:
    with pytest.raises(ValueError, match=r"\(1.0, 0.0\)"):
        ratio_interval([(1.0, 2.0), (1.0, 0.0)])


def test_warm_up_of_a_decaying_start_is_cut_where_it_ends() -> None:
    noise = random.Random(1)
    times = [0.05 * (1 + 8 * 0.8**step) + noise.gauss(0, 0.001) for step in range(200)]
    warm_up = mser5(times)
    assert warm_up.steady
    assert 10 <= warm_up.cut <= 40


def test_a_steady_series_loses_only_the_minimum() -> None:
    noise = random.Random(2)
    assert mser5([0.05 + noise.gauss(0, 0.001) for _ in range(25)], minimum_cut=4).cut >= 4
    assert mser5([0.05] * 100, minimum_cut=4).cut == 4


def test_a_level_that_changes_late_is_not_steady() -> None:
    noise = random.Random(3)
    times = [(0.05 if step < 75 else 0.09) + noise.gauss(0, 0.001) for step in range(100)]
    assert not mser5(times).steady


def test_a_lone_stall_late_in_the_run_is_not_taken_for_a_transient() -> None:
    noise = random.Random(4)
    times = [0.05 + noise.gauss(0, 0.0005) for _ in range(100)]
    times[70] = 0.6
    warm_up = mser5(times)
    assert warm_up.steady
    assert warm_up.cut <= 50


def test_plain_noise_is_steady() -> None:
    random_numbers = random.Random(8)
    series = [[0.05 * (1 + random_numbers.gauss(0, 0.02)) for _ in range(60)] for _ in range(200)]
    assert all(mser5(times).steady for times in series)


def test_too_few_values_are_never_called_steady() -> None:
    warm_up = mser5([0.1, 0.1, 0.1, 0.1])
    assert (warm_up.cut, warm_up.steady) == (2, False)


@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.7])
@pytest.mark.parametrize("count", [20, 60, 200])
def test_rate_interval_holds_the_truth_under_autocorrelation(correlation: float, count: int) -> None:
    random_numbers = random.Random(5)
    inside = 0
    for _ in range(400):
        noise = autoregressive(random_numbers, count, correlation=correlation, deviation=0.01)
        interval = rate_interval([32.0] * count, [0.1 + value for value in noise])
        inside += interval.low <= 320 <= interval.high
    assert inside / 400 >= 0.90


def test_rate_interval_is_no_wider_than_it_must_be() -> None:
    random_numbers = random.Random(6)
    widths = []
    for _ in range(100):
        interval = rate_interval([1.0] * 200, [0.1 + random_numbers.gauss(0, 0.01) for _ in range(200)])
        widths.append(interval.high - interval.low)
    exact = 2 * 1.96 * (0.01 / 200**0.5) / 0.1**2
    assert statistics.fmean(widths) < 1.8 * exact


def test_rate_is_amount_over_time_and_not_a_mean_of_rates() -> None:
    assert rate_interval([1.0, 1.0], [1.0, 3.0]).value == pytest.approx(0.5)


def test_slope_is_not_moved_by_wild_points() -> None:
    xs = [float(x) for x in range(40)]
    ys = [3.0 * x + 1 for x in xs]
    ys[5], ys[20], ys[33] = 1e6, -1e6, 5e5
    assert theil_sen(xs, ys).value == pytest.approx(3.0, abs=0.01)


def test_slope_interval_holds_the_truth() -> None:
    random_numbers = random.Random(7)
    inside = 0
    for _ in range(200):
        xs = [float(x) for x in range(30)]
        interval = theil_sen(xs, [2.0 * x + random_numbers.gauss(0, 5) for x in xs])
        inside += interval.low <= 2.0 <= interval.high
    assert inside / 200 >= 0.90


def test_slope_of_a_flat_line_has_no_width() -> None:
    interval = theil_sen([0.0, 1.0, 2.0, 3.0], [7.0] * 4)
    assert (interval.low, interval.value, interval.high) == (0.0, 0.0, 0.0)


def test_slope_of_a_long_series_is_thinned_and_stays_right() -> None:
    xs = [float(x) for x in range(20_000)]
    assert theil_sen(xs, [0.5 * x for x in xs]).value == pytest.approx(0.5)


def test_the_robust_deviation_is_about_the_standard_deviation_of_normal_values() -> None:
    chance = random.Random(1)
    found = [robust_deviation([chance.gauss(5.0, 2.0) for _ in range(10)]) for _ in range(500)]
    assert statistics.fmean(found) == pytest.approx(2.0, rel=0.05)


def test_one_wild_value_of_five_does_not_move_the_robust_deviation() -> None:
    assert robust_deviation([1.0, 2.0, 3.0, 4.0, 1e6]) < 3


def test_a_robust_deviation_needs_two_values() -> None:
    with pytest.raises(ValueError, match="at least 2 values, got 1"):
        robust_deviation([1.0])

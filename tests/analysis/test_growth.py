"""The trend of an update's time: what is one, and what only looks like it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from advisor import wire
from advisor.analysis import growth
from advisor.rules._examples import line

from .windows import done


def window(
    times_s: Sequence[float], *, before: int = 0, elements: Sequence[int] = (64,), hooks: int | None = None
) -> wire.WindowDone:
    found = done("w", times_s, start_s=float(before))
    return replace(found, updates_before=before, elements=list(elements), hooks=hooks)


def noisy(count: int, start_s: float, slope_s: float, *, noise: float = 0.1, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [(start_s + slope_s * index) * rng.lognormvariate(0, noise) for index in range(count)]


def test_updates_that_become_longer_have_a_slope_with_its_interval() -> None:
    times_s = noisy(300, 0.010, 50e-6)
    found = growth.growth([window(times_s[:150]), window(times_s[200:], before=200)])
    assert found is not None
    assert found.low_s < 50e-6 < found.high_s
    assert found.goes_on
    assert found.end_s / found.start_s == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_no_trend(seed: int) -> None:
    found = growth.growth([window(noisy(200, 0.010, 0.0, noise=0.3, seed=seed))])
    assert found is not None
    assert not found.goes_on or found.end_s < 1.2 * found.start_s


def test_a_level_that_changes_once_does_not_go_on() -> None:
    found = growth.growth([window(noisy(80, 0.010, 0.0, noise=0.02) + noisy(220, 0.016, 0.0, noise=0.02, seed=1))])
    assert found is not None
    assert not found.goes_on


def test_batches_that_become_longer_are_no_trend() -> None:
    sizes = [100 + 10 * index for index in range(200)]
    found = growth.growth([window([size * 1e-5 for size in sizes], elements=sizes)])
    assert found is None


def test_batches_of_varying_length_are_compared_with_their_like() -> None:
    rng = random.Random(0)
    sizes = [rng.choice([100, 200, 400]) for _ in range(300)]
    times_s = [size * 1e-5 + 20e-6 * index for index, size in enumerate(sizes)]
    found = growth.growth([window(times_s, elements=sizes)])
    assert found is not None
    assert found.updates < 200
    assert found.slope_s == pytest.approx(20e-6, rel=0.05)


def test_few_updates_say_nothing() -> None:
    assert growth.growth([window(noisy(growth.LEAST_UPDATES - 1, 0.01, 1e-3))]) is None


def test_hooks_are_counted_by_update() -> None:
    times_s = noisy(100, 0.01, 1e-4)
    found = growth.growth([window(times_s, hooks=8), window(times_s, before=200, hooks=808)])
    assert found is not None
    assert (found.hooks, found.hooks_per_update) == ((8, 808), 4.0)


def test_only_the_first_script_run_counts() -> None:
    windows = {
        name: wire.Window(id=name, role=role)
        for name, role in (
            ("a", wire.WindowRole.PROFILE),
            ("b", wire.WindowRole.BASELINE),
            ("c", wire.WindowRole.WHAT_IF),
            ("d", wire.WindowRole.BASELINE),
        )
    }
    outcomes = {name: replace(window([0.1] * 3, before=number), id=name) for number, name in enumerate(windows)}
    found = growth.baselines(outcomes, windows, {"a": 0, "b": 0, "c": 0, "d": 1})
    assert [each.id for each in found] == ["a", "b"]


def test_a_line_has_its_share_of_the_rise() -> None:
    early = [line("python", 0.5, line=7), line("torch", 0.5, line=9)]
    late = [line("python", 0.9, line=7), line("torch", 0.1, line=9)]
    risen = growth.risen_lines(early, 0.010, late, 0.050)
    assert [(each.line, each.share) for each in risen] == [(7, pytest.approx(1.0))]


def test_lines_of_updates_that_did_not_rise_are_none() -> None:
    assert growth.risen_lines([line("python", 0.5)], 0.010, [line("python", 0.9)], 0.010) == ()

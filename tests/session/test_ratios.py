"""Neighbouring windows compared."""

from __future__ import annotations

import random

import pytest

from advisor import wire
from advisor.session import ratios

from .windows import base, done, result


def steps(mean_s: float, count: int = 20, seed: int = 0) -> list[float]:
    noise = random.Random(seed)
    return [mean_s * (1 + 0.02 * noise.uniform(-1, 1)) for _ in range(count)]


def what_if(name: str, number: int, at: float, wall_s: list[float], life: int = 0):  # type: ignore[no-untyped-def]
    window = wire.Window(id=f"{name} {number}", what_if=name)
    return window, done(window.id, wall_s, start_s=at), life


def speedups(*windows) -> dict[str, object]:  # type: ignore[no-untyped-def]
    return {found.name: found for found in ratios.what_ifs(result(*windows))}


def test_a_what_if_is_the_ratio_to_the_windows_beside_it() -> None:
    found = speedups(
        base("base 0", 0, steps(0.1)),
        what_if("no_data_wait", 0, 1, steps(0.05, seed=1)),
        base("base 1", 2, steps(0.1, seed=2)),
    )["no_data_wait"]
    assert found.speedup == pytest.approx(2.0, rel=0.03)
    assert found.low < 2.0 < found.high
    assert found.rounds == 1


def test_a_machine_that_drifts_does_not_change_the_ratio() -> None:
    windows = []
    for number, slow in enumerate((1.0, 2.0, 4.0)):
        windows += [
            base(f"base a{number}", 3 * number, steps(0.1 * slow, seed=number)),
            what_if("no_optimizer", number, 3 * number + 1, steps(0.08 * slow, seed=number + 9)),
            base(f"base b{number}", 3 * number + 2, steps(0.1 * slow, seed=number + 20)),
        ]
    assert speedups(*windows)["no_optimizer"].speedup == pytest.approx(1.25, rel=0.03)


def test_windows_of_another_life_are_no_neighbours() -> None:
    found = speedups(
        base("base 0", 0, steps(1.0), life=0),
        what_if("no_data_wait", 0, 0, steps(0.05), life=1),
        base("base 1", 1, steps(0.1), life=1),
    )["no_data_wait"]
    assert found.speedup == pytest.approx(2.0, rel=0.03)


def test_an_evaluation_in_one_window_is_not_charged_to_it() -> None:
    quiet = steps(0.1)
    window = wire.Window(id="no_optimizer 0", what_if="no_optimizer")
    interrupted = done(
        window.id, [*quiet[:-1], quiet[-1] + 5.0], start_s=1, evaluation_s=[0.0] * (len(quiet) - 1) + [5.0]
    )
    found = speedups(base("base 0", 0, steps(0.1)), (window, interrupted, 0), base("base 1", 2, steps(0.1)))
    assert found["no_optimizer"].speedup == pytest.approx(1.0, rel=0.03)


def test_doubled_micro_batches_are_compared_by_samples() -> None:
    window = wire.Window(id="micro_batch_doubled 0", what_if="micro_batch_doubled")
    doubled = done(window.id, steps(0.11), start_s=1, samples=16)
    found = speedups(base("base 0", 0, steps(0.1)), (window, doubled, 0), base("base 1", 2, steps(0.1)))
    assert found["micro_batch_doubled"].speedup == pytest.approx(2 / 1.1, rel=0.03)


def test_scatter_between_rounds_widens_the_interval() -> None:
    def spread(second_s: float) -> float:
        found = speedups(
            base("base 0", 0, steps(0.1)),
            what_if("no_optimizer", 0, 1, steps(0.08)),
            base("base 1", 2, steps(0.1)),
            what_if("no_optimizer", 1, 3, steps(second_s)),
            base("base 2", 4, steps(0.1)),
        )["no_optimizer"]
        return found.high / found.low

    assert spread(0.04) > 2 * spread(0.08)


def test_one_update_is_no_window_to_compare() -> None:
    assert speedups(base("base 0", 0, steps(0.1)), what_if("no_optimizer", 0, 1, [0.08])) == {}


def test_a_drained_loader_is_compared_with_the_loop_in_batches() -> None:
    drained = done("loader_alone", [], start_s=1, extra={"batches": 100, "seconds": 5.0})
    window = wire.Window(id="loader_alone", kind="drain", what_if="loader_alone")
    found = speedups(base("base 0", 0, steps(0.1)), (window, drained, 0), base("base 1", 2, steps(0.1)))
    assert found["loader_alone"].speedup == pytest.approx(2.0, rel=0.03)


def test_overhead_is_what_bare_windows_gain() -> None:
    bare = wire.Window(id="bare 0", kind="bare")
    overhead = ratios.overhead(
        result(
            base("base 0", 0, steps(0.101)),
            (bare, done(bare.id, steps(0.1), start_s=1), 0),
            base("base 1", 2, steps(0.101)),
        )
    )
    assert overhead.fraction == pytest.approx(0.01, abs=0.008)
    assert overhead.low is not None
    assert overhead.high is not None
    assert overhead.low <= overhead.fraction <= overhead.high


def test_a_stall_in_one_window_is_no_overhead() -> None:
    bare = wire.Window(id="bare 0", kind="bare")
    stalled = [*steps(0.1)[:-1], 2.0]
    overhead = ratios.overhead(
        result(
            base("base 0", 0, stalled),
            (bare, done(bare.id, steps(0.1), start_s=1), 0),
            base("base 1", 2, steps(0.1)),
        )
    )
    assert overhead.fraction == pytest.approx(0.0, abs=0.008)


def test_without_bare_windows_the_overhead_is_not_known() -> None:
    assert ratios.overhead(result(base("base 0", 0, steps(0.1)))).fraction is None

"""Neighbouring windows compared."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace

import pytest

from advisor import stats, wire
from advisor.analysis import loader_starts, ratios

from .windows import base, done, result


def steps(mean_s: float, count: int = 20, seed: int = 0) -> list[float]:
    noise = random.Random(seed)
    return [mean_s * (1 + 0.02 * noise.uniform(-1, 1)) for _ in range(count)]


def what_if(name: str, number: int, at: float, wall_s: list[float], script_run: int = 0):  # type: ignore[no-untyped-def]
    window = wire.Window(id=f"{name} {number}", what_if=name)
    return window, done(window.id, wall_s, start_s=at), script_run


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


def test_a_stall_of_the_machine_does_not_open_the_interval_of_a_what_if() -> None:
    as_written = wire.Window(id="as written", role=wire.WindowRole.PROFILE)
    (found,) = speedups(
        (as_written, done("as written", steps(0.02, 100)), 0),
        base("base 0", 3, steps(0.02)),
        what_if("no_optimizer", 0, 4, steps(0.016, seed=1)),
        base("base 1", 5, steps(0.02, seed=2)),
        what_if("no_optimizer", 1, 6, [*steps(0.016, seed=3), 0.175]),
        base("base 2", 7, steps(0.02, seed=4)),
    ).values()
    assert 1.2 < found.low < found.speedup < found.high < 1.3


def test_windows_of_another_life_are_no_neighbours() -> None:
    found = speedups(
        base("base 0", 0, steps(1.0), script_run=0),
        what_if("no_data_wait", 0, 0, steps(0.05), script_run=1),
        base("base 1", 1, steps(0.1), script_run=1),
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


@pytest.mark.parametrize("unknown", ["the setting's", "one beside it", "both beside it"])
def test_a_window_without_samples_is_not_compared_with_samples(unknown: str) -> None:
    """At the end of a stream's epoch a window cannot count them: 8 samples are no 8 times the speed."""
    tried = wire.Window(id="tried", role=wire.WindowRole.TRIAL)
    found = result(
        base("before", 0.0, [0.1] * 10, samples=None if unknown == "both beside it" else 8),
        (tried, done("tried", [0.05] * 10, start_s=1.0, samples=None if unknown == "the setting's" else 8), 0),
        base("after", 2.0, [0.1] * 10, samples=8 if unknown == "the setting's" else None),
    )
    ratio = ratios.speedup(found, {"tried"}, None)
    assert ratio is not None
    assert ratio.speedup == pytest.approx(2.0)


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
    bare = wire.Window(id="bare 0", role=wire.WindowRole.BARE, kind="bare")
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
    bare = wire.Window(id="bare 0", role=wire.WindowRole.BARE, kind="bare")
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


def test_windows_that_scatter_give_only_a_bound() -> None:
    bare = wire.Window(id="bare 0", role=wire.WindowRole.BARE, kind="bare")
    noisy = [0.1 * (1 + 0.4 * (number % 5)) for number in range(20)]
    overhead = ratios.overhead(
        result(base("base 0", 0, noisy), (bare, done(bare.id, noisy, start_s=3), 0), base("base 1", 6, noisy))
    )
    assert (overhead.fraction, overhead.hooks_us_per_update) == (None, None)
    assert overhead.high is not None
    assert overhead.high > 0.04


def test_hooks_that_may_cost_nothing_are_not_told_in_microseconds() -> None:
    bare = wire.Window(id="bare 0", role=wire.WindowRole.BARE, kind="bare")
    steady = [0.1, 0.1005] * 10
    overhead = ratios.overhead(
        result(base("base 0", 0, steady), (bare, done(bare.id, steady, start_s=3), 0), base("base 1", 6, steady))
    )
    assert overhead.fraction == 0.0
    assert overhead.hooks_us_per_update is None


def test_hooks_are_also_told_in_microseconds_of_the_mean_update() -> None:
    bare = wire.Window(id="bare 0", role=wire.WindowRole.BARE, kind="bare")
    overhead = ratios.overhead(
        result(
            base("base 0", 0, [0.125] * 20),
            (bare, done(bare.id, [0.1] * 20, start_s=1), 0),
            base("base 1", 2, [0.125] * 40),
        )
    )
    assert overhead.fraction == pytest.approx(0.2)
    assert overhead.hooks_us_per_update == pytest.approx(0.2 * 0.125e6)


def test_a_median_rate_scatters_with_the_quartiles() -> None:
    # Of twenty values evenly spread the quartiles lie 0.00475 apart: 0.0035 of standard deviation.
    window = done("base 0", [0.1 + 0.0005 * number for number in range(20)])
    rate = ratios._log_median_rate([window])
    assert rate.value == pytest.approx(-math.log(0.10475))
    assert rate.error == pytest.approx(1.2533 * 0.00475 / 1.349 / 0.10475 / math.sqrt(20))


def test_three_rounds_are_judged_by_students_t_between_them() -> None:
    windows = [base("base 0", 0, [0.1] * 20)]
    for number, gain in enumerate((1.2, 1.25, 1.3)):
        windows += [
            what_if("no_optimizer", number, 2 * number + 1, [0.1 / gain] * 20),
            base(f"base {number + 1}", 2 * number + 2, [0.1] * 20),
        ]
    found = speedups(*windows)["no_optimizer"]
    logs = [math.log(gain) for gain in (1.2, 1.25, 1.3)]
    half = 4.3027 * statistics.stdev(logs) / math.sqrt(3)  # t at 97.5% for two degrees of freedom
    assert found.speedup == pytest.approx(math.exp(statistics.fmean(logs)))
    assert found.low == pytest.approx(math.exp(statistics.fmean(logs) - half), rel=1e-4)
    assert found.high == pytest.approx(math.exp(statistics.fmean(logs) + half), rel=1e-4)


def test_two_rounds_take_the_larger_of_both_scatters() -> None:
    def width(*gains: float) -> float:
        windows = [base("base 0", 0, [0.1] * 20)]
        for number, gain in enumerate(gains):
            windows += [
                what_if("no_optimizer", number, 2 * number + 1, [0.1 / gain] * 20),
                base(f"base {number + 1}", 2 * number + 2, [0.1] * 20),
            ]
        found = speedups(*windows)["no_optimizer"]
        return math.log(found.high / found.low)

    variance = statistics.variance([math.log(1.2), math.log(1.3)])
    assert width(1.2, 1.3) == pytest.approx(2 * ratios.T_QUANTILE_FEW * math.sqrt(variance / 2))
    assert width(1.2, 1.2) == pytest.approx(0.0, abs=1e-9)


def test_a_drained_loader_beside_a_single_update_says_nothing() -> None:
    window = wire.Window(id="loader_alone", kind="drain", what_if="loader_alone")
    drained = done("loader_alone", [], start_s=1, extra={"batches": 100, "seconds": 5.0})
    assert "loader_alone" not in speedups(base("base 0", 0, [0.8]), (window, drained, 0))


def test_a_drained_loaders_interval_is_the_loops() -> None:
    window = wire.Window(id="loader_alone", kind="drain", what_if="loader_alone")
    drained = done("loader_alone", [], start_s=1, extra={"batches": 100, "seconds": 5.0})
    walls = steps(0.1)
    found = speedups(base("base 0", 0, walls), (window, drained, 0))["loader_alone"]
    loop = stats.rate_interval([1.0] * len(walls), walls)
    assert (found.speedup, found.low, found.high) == pytest.approx(
        (1 / loop.value / 0.05, 1 / loop.high / 0.05, 1 / loop.low / 0.05)
    )


def test_batches_are_counted_by_the_micro_steps_of_an_update() -> None:
    window = wire.Window(id="loader_alone", kind="drain", what_if="loader_alone")
    drained = done("loader_alone", [], start_s=1, extra={"batches": 100, "seconds": 5.0})
    loop = done("base 0", [0.1] * 20, micro_steps=4)
    found = speedups((wire.Window(id="base 0", role=wire.WindowRole.BASELINE), loop, 0), (window, drained, 0))[
        "loader_alone"
    ]
    assert found.speedup == pytest.approx(0.1 / (4 * 0.05))


def restarted(name: str, at: float, update_s: float, restart_s: float) -> tuple[wire.Window, wire.WindowDone, int]:
    """Two epochs of ten updates of eight samples, with a start of the loader before each."""
    begins = [restart_s if number % 10 == 0 else 0.0 for number in range(20)]
    found = done(name, [update_s + begin for begin in begins], start_s=at)
    found.off_step_s["loader_restart"] = begins
    sums = wire.LoaderSums(batches=20, samples=160, workers=2, restarts=2)
    if name.startswith("base"):
        return wire.Window(id=name, role=wire.WindowRole.BASELINE), replace(found, loader=sums), 0
    trial = wire.Window(id=name, role=wire.WindowRole.TRIAL, config={"num_workers": 2})
    return trial, replace(found, loader=sums), 0


def test_starting_the_loader_is_charged_once_an_epoch() -> None:
    windows = (restarted("base 0", 0, 0.1, 0.0), restarted("trial 1", 1, 0.05, 0.5))
    found = ratios.speedup(result(*windows), {"trial 1"}, epoch_samples=80)
    assert found is not None
    # An epoch took 1 s, and takes 0.5 s and a start of 0.5 s now.
    assert found.speedup == pytest.approx(1.0)


def test_a_start_is_charged_as_often_as_the_script_has_it_not_once_a_window() -> None:
    windows = (restarted("base 0", 0, 0.1, 0.0), restarted("trial 1", 1, 0.05, 0.5))
    found = ratios.speedup(result(*windows), {"trial 1"}, epoch_samples=800)
    assert found is not None
    # An epoch took 10 s, and takes 5 s and a start of 0.5 s now.
    assert found.speedup == pytest.approx(10 / 5.5)


def test_the_start_that_another_window_of_the_same_loader_saw_is_charged_too() -> None:
    window, outcome, script_run = restarted("end", 2, 0.05, 0.5)
    seen = (replace(window, config={"num_workers": 2, "threads": 1}), outcome, script_run)
    trial = wire.Window(id="trial 1", role=wire.WindowRole.TRIAL, config={"num_workers": 2})
    windows = (restarted("base 0", 0, 0.1, 0.0), (trial, done("trial 1", [0.05] * 20, start_s=1), 0), seen)
    found = ratios.speedup(result(*windows), {"trial 1"}, epoch_samples=80)
    assert found is not None
    assert found.speedup == pytest.approx(1.0)


def test_a_start_that_nobody_saw_is_charged_to_neither_side() -> None:
    trial = wire.Window(id="trial 1", role=wire.WindowRole.TRIAL, config={"num_workers": 2})
    windows = (restarted("base 0", 0, 0.1, 0.5), (trial, done("trial 1", [0.05] * 20, start_s=1), 0))
    found = ratios.speedup(result(*windows), {"trial 1"}, epoch_samples=80)
    assert found is not None
    assert found.speedup == pytest.approx(2.0)


def around_an_end(
    name: str, at: float, wall_s: list[float], **config: object
) -> tuple[wire.Window, wire.WindowDone, int]:
    """A few updates, the last of which begins an epoch: it starts workers, and waits for them as well."""
    role = wire.WindowRole.TRIAL if config else wire.WindowRole.BASELINE
    found = done(name, wall_s, start_s=at)
    found.off_step_s["loader_restart"][-1] = 0.035 if wall_s[-1] > 2 * wall_s[0] else 0.0
    return wire.Window(id=name, role=role, config=dict(config)), found, 0


def test_the_end_of_an_epoch_in_a_short_window_says_nothing_of_a_setting() -> None:
    """Of a public script: the update that starts the workers takes five times as long as the others."""
    base = around_an_end("base 0", 0, [0.094, 0.104, 0.101])
    bf16 = around_an_end("trial 1", 1, [0.056, 0.054, 0.053, 0.251], precision="bf16")
    again = around_an_end("base 1", 2, [0.109, 0.109, 0.098])
    found = ratios.speedup(result(base, bf16, again), {"trial 1"}, epoch_samples=4000)
    assert found is not None
    assert found.speedup == pytest.approx(1.88, abs=0.02)
    assert found.low > 1.6


def test_what_an_update_takes_longer_beside_starting_workers_is_part_of_the_start() -> None:
    base = around_an_end("base 0", 0, [0.1] * 10)
    slow = around_an_end("trial 1", 1, [0.1] * 9 + [0.4], num_workers=8)
    seen = around_an_end("base 1", 2, [0.1] * 9 + [0.3])
    found = ratios.speedup(result(base, slow, seen), {"trial 1"}, epoch_samples=80)
    assert found is not None
    # Ten updates of an epoch and a start: 1 s and 0.2 s beside them, and 1 s and 0.3 s with eight workers.
    assert found.speedup == pytest.approx(1.2 / 1.3, rel=0.001)


def test_epochs_of_two_updates_have_their_starts_in_every_comparison() -> None:
    short = done("trial 1", [0.1, 0.3] * 5, start_s=1)
    short.off_step_s["loader_restart"] = [0.0, 0.05] * 5
    assert loader_starts.apart(short) is short


def evaluated(name: str, at: float, seconds: float, **config: object) -> tuple[wire.Window, wire.WindowDone, int]:
    """A window at the end of an epoch, with an evaluation before its first update."""
    window = wire.Window(id=name, kind="epoch_end", config=dict(config))
    return window, done(name, [0.1 + seconds, 0.1], start_s=at, evaluation_s=[seconds, 0.0]), 0


def compared(config: dict[str, object], *seen: tuple[wire.Window, wire.WindowDone, int]) -> float:
    """Speed-up of a configuration with updates as fast as the baseline's, in epochs of ten updates."""
    windows = (
        (wire.Window(id="base 0", role=wire.WindowRole.BASELINE), done("base 0", [0.1] * 20), 0),
        (
            wire.Window(id="trial 1", role=wire.WindowRole.TRIAL, config=config),
            done("trial 1", [0.1] * 20, start_s=1),
            0,
        ),
    )
    found = ratios.speedup(result(*windows, *seen), {"trial 1"}, epoch_samples=80)
    assert found is not None
    return found.speedup


def test_an_evaluation_that_the_settings_change_is_charged_once_an_epoch() -> None:
    seen = evaluated("end", 2, 1.0), evaluated("end 1", 3, 0.25, evaluation_batch=64)
    # An epoch took 1 s and an evaluation of 1 s, and takes 1 s and 0.25 s now.
    assert compared({"evaluation_batch": 64}, *seen) == pytest.approx(2.0 / 1.25)


def test_an_evaluation_every_few_updates_is_charged_by_its_share() -> None:
    often = [0.3 if number % 5 == 0 else 0.0 for number in range(20)]
    others = []
    for name, shorter, config in (("bare 0", 1, {}), ("other 1", 3, {"evaluation_batch": 64})):
        spent = [seconds / shorter for seconds in often]
        outcome = done(name, [0.1 + seconds for seconds in spent], start_s=2, evaluation_s=spent)
        others.append((wire.Window(id=name, config=config), outcome, 0))
    # Four evaluations in forty updates seen of each: one in an epoch of 1 s, which took 0.3 s, and takes 0.1 s now.
    assert compared({"evaluation_batch": 64}, *others) == pytest.approx(1.3 / 1.1)


def test_an_evaluation_that_the_settings_leave_alone_is_not_charged() -> None:
    seen = evaluated("end", 2, 1.0), evaluated("end 1", 3, 0.25, threads=1)
    assert compared({"threads": 1}, *seen) == pytest.approx(1.0)


def test_an_evaluation_that_only_one_of_them_has_shown_is_charged_to_neither() -> None:
    assert compared({"evaluation_batch": 64}, evaluated("end", 2, 1.0)) == pytest.approx(1.0)


def test_a_life_of_its_own_is_compared_with_the_lives_around_it() -> None:
    trial = wire.Window(id="bigger", role=wire.WindowRole.TRIAL)
    found = result(
        base("base before", 0, [2.0] * 8, script_run=0),
        (trial, done("bigger", [1.0] * 8), 1),
        base("base after", 0, [2.0] * 8, script_run=2),
    )
    assert ratios.speedup(found, {"bigger"}, None) is None
    across = ratios.speedup(found, {"bigger"}, None, across_script_runs=True)
    assert across is not None
    assert across.speedup == pytest.approx(2.0)

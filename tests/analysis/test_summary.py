"""From windows to values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor import wire
from advisor.analysis import hot_lines, summary
from advisor.analysis.counted import Counted
from advisor.analysis.loader_summary import loader_times, restarts
from advisor.analysis.profile_plan import FIRST
from advisor.rules._examples import healthy_cpu, healthy_cuda
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.usage import SystemUsage
from advisor.types import EpochEnd, Rate
from advisor.types.measurement import UsagePoint

from .windows import done, result

WORKLOAD = healthy_cpu().workload
HARDWARE = healthy_cpu().hardware
RATE = Rate(value=1e9, basis="measured", source="a test")


def script_run() -> ScriptRunRecord:
    return ScriptRunRecord(number=0, started="2026-01-01T00:00:00+00:00")


def counted(window: wire.WindowDone) -> Counted:
    return Counted(window)


@pytest.mark.parametrize(
    ("later_s", "steady"), [((1.0, 1.1), True), ((0.2, 1.0, 1.1), True), ((0.1, 0.3), False), ((3.0,), False)]
)
def test_windows_of_another_level_show_that_the_loop_has_none(later_s: tuple[float, ...], steady: bool) -> None:
    """Updates of a second, six in a row while other programs ran: the next ones took a tenth of it."""
    others = [done(f"base {number}", [update_s] * 4) for number, update_s in enumerate(later_s)]
    assert Counted(done(FIRST, [1.0] * 9), others).steady == steady


def test_phases_add_up_to_one_and_leave_out_what_stands_beside() -> None:
    window = done(FIRST, [0.1] * 19 + [1.1], evaluation_s=[0.0] * 19 + [1.0])
    phases = summary.phases(counted(window))
    assert sum(phases.values()) == pytest.approx(1.0)
    assert phases["forward"] == pytest.approx(0.5)


def test_evaluation_is_a_share_of_the_loop() -> None:
    window = done(FIRST, [0.1] * 19 + [1.1], evaluation_s=[0.0] * 19 + [1.0])
    assert summary.off_step(counted(window)) == {"evaluation": pytest.approx(1.0 / 3.0)}


def test_the_mean_update_leaves_evaluation_out_and_the_rate_does_not() -> None:
    window = done(FIRST, [0.1] * 19 + [1.1], evaluation_s=[0.0] * 19 + [1.0], samples=10)
    steps = summary.steps(counted(window))
    assert steps.mean_s == pytest.approx(0.1)
    assert steps.samples_per_s == pytest.approx(200 / 3.0)


def test_warm_up_is_cut_and_counted() -> None:
    window = done(FIRST, [2.0] * 5 + [0.1] * 95)
    steps = summary.steps(counted(window))
    assert steps.mean_s == pytest.approx(0.1, rel=0.01)
    assert steps.warm_up == 3 + 5


def test_samples_that_are_not_known_are_none_and_never_zero() -> None:
    steps = summary.steps(counted(done(FIRST, [0.1] * 20, samples=None)))
    assert steps.samples_per_s is None
    assert steps.samples_per_update is None
    assert steps.samples_from == "not known"


def test_an_epoch_that_was_ended_early_is_charged_to_a_whole_one() -> None:
    loader = replace(WORKLOAD.loaders[0], length_batches=100)
    workload = replace(WORKLOAD, loaders=(loader,))
    first = counted(done(FIRST, [0.1] * 50))
    forced = done("epoch end", [10.1, 0.1, 0.1], evaluation_s=[10.0, 0.0, 0.0])
    found = result((wire.Window(id="epoch end", kind="epoch_end"), forced, 0))
    ending = summary.epoch_end(first, found, workload)
    assert ending.forced
    # An epoch of 100 updates takes 10 s, and its end 10 s more.
    assert summary.off_step_with_epoch(first, ending, workload)["evaluation"] == pytest.approx(0.5, rel=0.01)


def test_without_an_epoch_end_nothing_is_said_of_it() -> None:
    first = counted(done(FIRST, [0.1] * 50))
    ending = summary.epoch_end(first, result(), WORKLOAD)
    assert not ending.seen
    assert restarts(first, ending, result(), WORKLOAD) is None


def test_memory_that_grows_with_every_update_is_confirmed() -> None:
    grows = replace(done(FIRST, [0.1] * 100), rss_bytes=[2**30 + step * 2**20 for step in range(100)])
    memory = summary.memory(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), grows, 0)), script_run(), HARDWARE, WORKLOAD
    )
    assert memory.creep_confirmed
    assert memory.creep_bytes_per_update == pytest.approx(2**20, rel=0.05)


def test_memory_that_only_rose_at_first_is_not() -> None:
    levels = [2**30 + min(step, 10) * 2**24 for step in range(100)]
    steady = replace(done(FIRST, [0.1] * 100), rss_bytes=levels)
    memory = summary.memory(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), steady, 0)), script_run(), HARDWARE, WORKLOAD
    )
    assert not memory.creep_confirmed


def test_other_programs_are_what_the_machine_did_beside_the_script() -> None:
    record = script_run()
    record.system_begin = SystemUsage(swapped_in_bytes=0, busy_s=100)
    record.system_end = SystemUsage(swapped_in_bytes=0, busy_s=118)
    record.watched_s, record.tree_cpu_s = 10.0, 8.0
    assert summary.others_cpus(record) == pytest.approx(1.0)


def test_flops_are_a_rate_over_the_mean_update() -> None:
    first = counted(done(FIRST, [0.1] * 50))
    trace = done("trace", [0.3], extra={"flops_per_update": 1_000_000, "bytes_per_update": 10_000})
    compute = summary.compute(result((wire.Window(id="trace"), trace, 0)), first, HARDWARE, WORKLOAD)
    assert compute.achieved_flops_per_s == pytest.approx(1e7)
    assert compute.arithmetic_intensity == pytest.approx(100.0)


def test_processes_and_threads_are_the_most_within_the_window() -> None:
    script_run = ScriptRunRecord(number=0, started="")
    script_run.usage += [
        UsagePoint(at_s=at_s, tree_cpus=1.0, rss_bytes=1, processes=processes, threads=threads)
        for at_s, processes, threads in ((0.5, 9, 90), (5.5, 1, 3), (6.0, 3, 7), (60.0, 9, 90))
    ]
    found = summary.system(counted(done(FIRST, [0.1] * 20, start_s=5.0)), script_run)
    assert (found.processes, found.threads) == (3, 7)


def loading(**sums: Any) -> wire.WindowDone:
    """Fifty updates of two micro-steps in 5 s, with what two workers did meanwhile."""
    found = {"batches": 100, "samples": 800, "workers": 2, "fetch_s": 4.0, "fetch_cpu_s": 3.0, "collate_s": 1.0, **sums}
    return replace(done(FIRST, [0.1] * 50, micro_steps=2), loader=wire.LoaderSums(**found))


def test_loader_times_are_those_of_an_update() -> None:
    drained = done("loader_alone", [], extra={"batches": 40, "seconds": 2.0})
    found = loader_times(
        counted(loading()), result((wire.Window(id="loader_alone", kind="drain"), drained, 0)), WORKLOAD
    )
    assert found is not None
    assert (found.fetch_s, found.fetch_cpu_s, found.collate_s) == pytest.approx((0.08, 0.06, 0.02))
    assert found.worker_cpus == pytest.approx(4.0 / 5.0)
    assert found.alone_s == pytest.approx(2 * 0.05)


def test_what_workers_hide_is_none_and_never_zero() -> None:
    found = loader_times(counted(loading(fetch_s=None, fetch_cpu_s=None)), result(), WORKLOAD)
    assert found is not None
    assert (found.fetch_s, found.worker_cpus, found.alone_s) == (None, None, None)


def test_without_a_training_loader_there_are_no_loader_times() -> None:
    assert loader_times(counted(loading()), result(), replace(WORKLOAD, loaders=())) is None
    assert loader_times(counted(done(FIRST, [0.1] * 50)), result(), WORKLOAD) is None


def test_epochs_that_ended_in_the_window_are_averaged() -> None:
    window = replace(done(FIRST, [0.1] * 50), loader=wire.LoaderSums(batches=50, samples=400, workers=2, restarts=2))
    window.off_step_s["loader_restart"] = [0.5] + [0.0] * 24 + [0.7] + [0.0] * 24
    found = summary.epoch_end(counted(window), result(), WORKLOAD)
    assert (found.seen, found.forced) == (True, False)
    assert found.seconds == {"loader_restart": pytest.approx(0.6)}


def test_the_first_epochs_start_alone_is_no_epochs_end() -> None:
    window = replace(done(FIRST, [0.1] * 50), loader=wire.LoaderSums(batches=50, samples=400, workers=2, restarts=1))
    assert not summary.epoch_end(counted(window), result(), WORKLOAD).seen


def test_a_restart_is_a_share_of_an_epoch_of_the_scripts_own_length() -> None:
    workload = replace(WORKLOAD, loaders=(replace(WORKLOAD.loaders[0], length_batches=20),))
    ending = EpochEnd(seen=True, seconds={"loader_restart": 1.0})
    found = restarts(counted(done(FIRST, [0.1] * 50, micro_steps=2)), ending, result(), workload)
    assert found is not None
    assert (found.updates_per_epoch, found.seconds_per_restart) == (10.0, 1.0)
    assert found.share == pytest.approx(0.5)


def test_the_peak_on_a_cpu_is_the_most_the_host_held_in_the_baselines_updates() -> None:
    window = replace(done(FIRST, [0.1] * 50), rss_bytes=[5, 9, 7])
    record = script_run()
    record.facts = wire.Facts(rank=0, workload={}, memory={"parameters_bytes": 3, "host_peak_bytes": 11})
    found = summary.memory(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), window, 0)), record, HARDWARE, WORKLOAD
    )
    assert (found.peak_bytes, found.host_peak_bytes, found.parameters_bytes) == (9, 9, 3)


def test_what_ifs_do_not_raise_the_peak() -> None:
    evidence = healthy_cuda()
    windows = [
        (FIRST, wire.WindowRole.PROFILE, 55, 60),
        ("micro_batch_doubled 0", wire.WindowRole.WHAT_IF, 106, 110),
        ("base 1", wire.WindowRole.BASELINE, 56, 110),
        ("trace", wire.WindowRole.OBSERVATION, 70, 110),
    ]
    seen = result(
        *(
            (
                wire.Window(id=name, role=role),
                replace(done(name, [0.1] * 9, start_s=at), device_peak_bytes=peak, device_reserved_bytes=reserved),
                0,
            )
            for at, (name, role, peak, reserved) in enumerate(windows)
        )
    )
    found = summary.memory(seen, script_run(), evidence.hardware, evidence.workload)
    assert (found.peak_bytes, found.reserved_bytes) == (56, 60)


def test_the_peak_on_an_accelerator_is_the_devices() -> None:
    evidence = healthy_cuda()
    window = replace(done(FIRST, [0.1] * 50), rss_bytes=[5], device_peak_bytes=90, device_reserved_bytes=120)
    found = summary.memory(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), window, 0)),
        script_run(),
        evidence.hardware,
        evidence.workload,
    )
    assert (found.peak_bytes, found.reserved_bytes, found.host_peak_bytes) == (90, 120, 5)
    assert found.limit_bytes == evidence.hardware.accelerators[0].memory_bytes


def test_memory_that_grows_a_little_is_not_confirmed() -> None:
    grows = replace(done(FIRST, [0.1] * 100), rss_bytes=[2**30 + step * 2**15 for step in range(100)])
    memory = summary.memory(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), grows, 0)), script_run(), HARDWARE, WORKLOAD
    )
    assert not memory.creep_confirmed
    assert memory.creep_bytes_per_update == pytest.approx(2**15, rel=0.05)


@pytest.mark.parametrize(("moved", "bound"), [(10_000, "compute"), (1_000_000, "memory")])
def test_the_roofline_says_what_bounds(moved: int, bound: str) -> None:
    hardware = replace(HARDWARE, cpu_peak_flops={"fp32": RATE}, cpu_memory_bandwidth=replace(RATE, value=1e8))
    trace = done("trace", [0.3], extra={"flops_per_update": 1_000_000, "bytes_per_update": moved})
    compute = summary.compute(
        result((wire.Window(id="trace"), trace, 0)), counted(done(FIRST, [0.1] * 50)), hardware, WORKLOAD
    )
    assert compute.roofline_bound == bound
    assert compute.peak_fraction == pytest.approx(1e7 / 1e9)


def test_products_in_tf32_have_its_peak() -> None:
    evidence = healthy_cuda(workload={"flags": {"autocast_dtype": None, "matmul_precision": "high"}})
    compute = summary.compute(result(), counted(done(FIRST, [0.1] * 50)), evidence.hardware, evidence.workload)
    assert compute.peak_dtype == "tf32"


def test_a_single_update_has_a_rate_and_no_interval() -> None:
    steps = summary.steps(counted(done(FIRST, [0.5], samples=10, micro_steps=4)))
    assert (steps.samples_per_s, steps.low, steps.high) == (20.0, None, None)
    assert steps.micro_steps_per_update == 4


def test_the_training_processs_own_cpus_are_told() -> None:
    window = replace(done(FIRST, [0.1] * 20), cpu_s=3.0, gc_s=0.5, gc_collections=40)
    found = summary.system(counted(window), script_run())
    assert (found.main_cpus, found.gc_fraction, found.gc_collections_per_update) == pytest.approx((1.5, 0.25, 2.0))


def sampled(line: int, phase: str, hits: int) -> wire.SampledLine:
    return wire.SampledLine(file="train.py", line=line, function="main", phase=phase, kind="torch", hits=hits)


def line_shares(workload: Any) -> dict[int, float]:
    """Half of the samples stand at a read of the loss, behind the optimizer; the window has 10% there."""
    window = done(FIRST, [0.1] * 20)
    window.phases_s.update(forward=[0.045] * 20, backward=[0.045] * 20, other=[0.01] * 20)
    window = replace(
        window, hits=100, lines=[sampled(9, "other", 40), sampled(10, "other", 10), sampled(7, "forward", 50)]
    )
    found = hot_lines.lines(
        result((wire.Window(id=FIRST, role=wire.WindowRole.PROFILE), window, 0)),
        counted(window),
        workload,
        lambda *_: "",
    )
    return {line.line: line.share for line in found}


def test_a_line_that_waits_for_the_device_has_no_more_than_the_device_gave_its_phase() -> None:
    shares = line_shares(healthy_cuda().workload)
    assert (shares[9], shares[10], shares[7]) == (pytest.approx(0.08), pytest.approx(0.02), pytest.approx(0.45))


def test_on_a_cpu_a_line_has_what_was_sampled_of_it() -> None:
    assert line_shares(WORKLOAD) == {9: 0.4, 10: 0.1, 7: 0.5}


SLOW_START = [2.0] * 5 + [0.1] * 95


@pytest.mark.parametrize(("updates", "expected"), [((1, 2, 4), None), ((1, 20, 50, 80), 3)])
def test_code_that_warm_up_compiles_is_not_charged_to_what_comes_later(
    updates: tuple[int, ...], expected: int | None
) -> None:
    recompiled = [[update, 1, 0.05] for update in updates]
    window = replace(done(FIRST, SLOW_START), extra={"recompiled": recompiled, "recompile_reason": "size mismatch"})
    compute = summary.compute(result(), counted(window), HARDWARE, WORKLOAD)
    assert compute.recompiles == expected
    assert compute.recompile_fraction == (pytest.approx(0.15 / 9.5) if expected else None)


def test_code_that_is_met_for_the_first_time_is_not_compiled_anew() -> None:
    window = replace(done(FIRST, [0.1] * 50), extra={"recompiled": [[20, 0, 3.0], [30, 0, 3.0], [40, 0, 3.0]]})
    assert summary.compute(result(), counted(window), HARDWARE, WORKLOAD).recompiles is None

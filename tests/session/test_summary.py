"""From windows to values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor import wire
from advisor.rules._examples import healthy_cpu
from advisor.session import summary
from advisor.session.life import LifeRecord
from advisor.session.probe import FIRST
from advisor.session.usage import SystemUsage
from advisor.types.measurement import UsagePoint

from .windows import done, result

WORKLOAD = healthy_cpu().workload
HARDWARE = healthy_cpu().hardware


def counted(window: wire.WindowDone) -> summary.Counted:
    return summary.Counted(window)


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
    assert summary.restarts(first, ending, WORKLOAD) is None


def test_memory_that_grows_with_every_update_is_confirmed() -> None:
    grows = replace(done(FIRST, [0.1] * 100), rss_bytes=[2**30 + step * 2**20 for step in range(100)])
    memory = summary.memory(result((wire.Window(id=FIRST), grows, 0)), life(), HARDWARE, WORKLOAD)
    assert memory.creep_confirmed
    assert memory.creep_bytes_per_update == pytest.approx(2**20, rel=0.05)


def test_memory_that_only_rose_at_first_is_not() -> None:
    levels = [2**30 + min(step, 10) * 2**24 for step in range(100)]
    steady = replace(done(FIRST, [0.1] * 100), rss_bytes=levels)
    memory = summary.memory(result((wire.Window(id=FIRST), steady, 0)), life(), HARDWARE, WORKLOAD)
    assert not memory.creep_confirmed


def test_other_programs_are_what_the_machine_did_beside_the_script() -> None:
    record = life()
    record.system_begin = SystemUsage(io_wait_s=0, swapped_in_bytes=0, busy_s=100)
    record.system_end = SystemUsage(io_wait_s=0, swapped_in_bytes=0, busy_s=118)
    record.watched_s, record.tree_cpu_s = 10.0, 8.0
    assert summary.others_cpus(record) == pytest.approx(1.0)


def test_flops_are_a_rate_over_the_mean_update() -> None:
    first = counted(done(FIRST, [0.1] * 50))
    trace = done("trace", [0.3], extra={"flops_per_update": 1_000_000, "bytes_per_update": 10_000})
    compute = summary.compute(result((wire.Window(id="trace"), trace, 0)), first, HARDWARE, WORKLOAD)
    assert compute.achieved_flops_per_s == pytest.approx(1e7)
    assert compute.arithmetic_intensity == pytest.approx(100.0)


def life() -> LifeRecord:
    return LifeRecord(number=0, started="2026-01-01T00:00:00+00:00")


def test_processes_and_threads_are_the_most_within_the_window() -> None:
    life = LifeRecord(number=0, started="")
    life.usage += [
        UsagePoint(at_s=at_s, tree_cpus=1.0, rss_bytes=1, processes=processes, threads=threads)
        for at_s, processes, threads in ((0.5, 9, 90), (5.5, 1, 3), (6.0, 3, 7), (60.0, 9, 90))
    ]
    found = summary.system(counted(done(FIRST, [0.1] * 20, start_s=5.0)), life)
    assert (found.processes, found.threads) == (3, 7)

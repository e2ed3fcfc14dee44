"""threads: values from the CPUs, and torch's own setting put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, healthy_cuda, train_loader
from advisor.types import Evidence

KNOB = knobs.get("threads")


def values(evidence: Evidence) -> Any:
    return KNOB.values(evidence.hardware, evidence.workload)


def machine(cpus: float, threads: int, cores: int | None = None, workers: int = 0, world_size: int = 1) -> Evidence:
    found: Evidence = evolve(
        healthy_cpu(),
        {
            "hardware": {"cpu": {"usable_cpus": cpus, "cores_physical": cores}},
            "workload": {
                "flags": {"num_threads": threads},
                "loaders": (train_loader(num_workers=workers),),
                "world_size": world_size,
            },
        },
    )
    return found


def test_all_cpus_that_can_be_used_come_first() -> None:
    assert values(machine(8, threads=1)).values == (8, 4)


def test_one_thread_is_worth_trying_where_many_are_set() -> None:
    assert values(machine(8, threads=8)).values == (4, 1)


def test_the_workers_of_the_loader_want_cpus_too() -> None:
    assert values(machine(8, threads=8, workers=2)).values[0] == 6


def test_one_thread_a_core_where_cores_are_shared() -> None:
    assert 6 in values(machine(12, threads=12, cores=6)).values


def test_a_quota_below_the_cpus_counts() -> None:
    assert max(values(machine(2.5, threads=16)).values) == 2


def test_processes_share_the_cpus() -> None:
    assert max(values(machine(8, threads=1, world_size=4)).values) == 2


@pytest.mark.parametrize(("cpus", "threads"), [(2, 2), (3.5, 3), (8, 8), (64, 32), (8, 64)])
def test_what_leaves_room_for_workers_is_among_the_values(cpus: float, threads: int) -> None:
    evidence = machine(cpus, threads)
    workers = knobs.get("num_workers").values(evidence.hardware, evidence.workload)
    name, value = workers.shares_cpus_with or ("", None)
    assert name == "threads"
    assert value in (*values(evidence).values, threads)


def test_workers_leave_the_threads_alone_where_the_training_is_on_a_device() -> None:
    evidence = healthy_cuda()
    assert knobs.get("num_workers").values(evidence.hardware, evidence.workload).shares_cpus_with is None


def test_one_cpu_closes_it() -> None:
    assert "1 CPU is usable" in values(machine(1, threads=1)).why_closed


def test_a_training_on_a_device_closes_it() -> None:
    assert "runs on cuda" in values(healthy_cuda()).why_closed


def test_rounding_changes() -> None:
    evidence = healthy_cpu()
    assert KNOB.effect(evidence.hardware, evidence.workload) == "numerics"


@pytest.mark.parametrize("value", [0, 2.0, True, "all"])
def test_what_is_no_number_of_threads_is_wrong(value: Any) -> None:
    assert repr(value) in str(KNOB.wrong(value))


@pytest.mark.slow
def test_a_window_with_more_threads_trains_the_same_but_for_rounding(tmp_path: Path) -> None:
    code = """
    wanted = train()
    hook()
    seen = []
    switched = train({5: {"threads": 2}, 15: {}}, look=lambda number: seen.append(torch.get_num_threads()))
    print(switched.close(wanted), seen[3], seen[7], seen[17], torch.get_num_threads())
    """
    assert says(tmp_path, code) == "True 1 2 1 1"


@pytest.mark.slow
def test_one_value_after_another_still_leads_back(tmp_path: Path) -> None:
    code = """
    hook()
    train({2: {"threads": 2}, 4: {"threads": 3}, 6: {}})
    print(torch.get_num_threads())
    """
    assert says(tmp_path, code) == "1"

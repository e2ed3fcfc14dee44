from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from snapshot import Snapshot

from advisor.hardware import render, setup_problems
from advisor.types.hardware import Accelerator, Hardware

from .machines import CPU, DISK, GIB, H100, MEMORY, TORCH, TORCH_CPU, machine, with_h100

TPU = Accelerator(index=0, kind="tpu", name="TPU v5e", memory_bytes=None)


def ids(hardware: Hardware) -> list[str]:
    return [problem.id for problem in setup_problems(hardware)]


def test_a_healthy_machine_has_none() -> None:
    assert ids(machine()) == []


def test_a_healthy_machine_without_accelerator_has_none() -> None:
    assert ids(machine(accelerators=(), torch=TORCH_CPU)) == []


def memory(**changes: Any) -> Hardware:
    return machine(memory=replace(MEMORY, **changes))


def disk(**changes: Any) -> Hardware:
    return machine(disk=replace(DISK, **changes))


def torch(**changes: Any) -> Hardware:
    return machine(torch=replace(TORCH, **changes))


BROKEN: dict[str, tuple[str, Hardware]] = {
    "a CPU build": ("cpu_only_build", machine(torch=TORCH_CPU)),
    "a CPU build beside a TPU": ("cpu_only_build", machine(torch=TORCH_CPU, accelerators=(TPU,))),
    "an old driver": ("old_driver", machine(torch=replace(TORCH, cuda="13.0", accelerator_available=False))),
    "no code for the device": ("architecture_missing", torch(architectures=("sm_70", "sm_80"))),
    # Code for 9.1 does not run on 9.0.
    "code for a later device": ("architecture_missing", torch(architectures=("sm_91",))),
    "an old torch": ("old_torch", torch(version="2.4.1")),
    "no torch": ("torch_missing", machine(torch=None, torch_error="no torch")),
    "no driver": ("driver_missing", machine(without_driver=("NVIDIA 0x2330",))),
    "hidden devices": ("accelerators_hidden", machine(accelerators=(), hidden_accelerators=4)),
    "Docker's shared memory": ("shared_memory_small", memory(shared_memory_bytes=64 << 20)),
    "swap": ("swapping", memory(swap_used_bytes=20 * GIB)),
    "a quota": ("quota_below_cores", machine(cpu=replace(CPU, quota_cpus=4.0, usable_cpus=4.0))),
    "a full disk": ("disk_nearly_full", disk(free_bytes=GIB)),
    "heat": ("throttled", with_h100(event_reasons=("hw_thermal",), clock_sm_mhz=800)),
    "a lowered cap": ("power_limited", with_h100(power_limit_w=400.0)),
    "few lanes": ("narrow_link", with_h100(pcie_width_now=4)),
    "an old slot": ("narrow_link", with_h100(pcie_generation_now=3)),
    "other processes": ("device_shared", with_h100(other_processes=2)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_problem_is_found_alone(name: str) -> None:
    problem, hardware = BROKEN[name]
    assert ids(hardware) == [problem]


def test_problems_are_told_with_their_values_and_what_to_do(snapshot: Snapshot) -> None:
    told = [(name, *setup_problems(hardware)) for name, (_problem, hardware) in BROKEN.items()]
    snapshot("hardware/problems", "\n".join(f"{name}\n  {one.message}\n  {one.advice}\n" for name, one in told))


def test_a_machine_is_shown_with_its_problems(snapshot: Snapshot) -> None:
    shown = with_h100(power_limit_w=400.0)
    file = io.StringIO()
    render(replace(shown, problems=setup_problems(shown)), Console(file=file, width=100))
    snapshot("hardware/machine", file.getvalue())


@pytest.mark.parametrize(
    "hardware",
    [
        # A quota that is not below what is seen anyway.
        machine(cpu=replace(CPU, quota_cpus=128.0)),
        # Half of the RAM of a small machine is what Linux gives.
        memory(ram_bytes=GIB, limit_bytes=None, shared_memory_bytes=GIB // 2),
        memory(shared_memory_bytes=None),
        # A few idle pages.
        memory(swap_used_bytes=100 << 20),
        # A few percent of a large disk.
        disk(total_bytes=8000 * GIB, free_bytes=100 * GIB),
        machine(disk=None),
        # An idle device narrows its link.
        with_h100(pcie_width_now=4, pcie_generation_now=1, busy_fraction=0.0),
        with_h100(pcie_width_now=4, busy_fraction=None),
        # Full work is at the power limit.
        with_h100(event_reasons=("sw_power_cap",)),
        # Memory held by an idle process costs no time.
        with_h100(other_processes=1, busy_fraction=0.0),
        # Minor versions are compatible, and a device in use proves its driver.
        machine(torch=replace(TORCH, cuda="12.8", accelerator_available=False)),
        torch(cuda="13.0"),
        # sm_80 code runs on 8.6, PTX on everything later.
        machine(accelerators=(replace(H100, compute_capability=(8, 6)),)),
        machine(accelerators=(replace(H100, compute_capability=(12, 0)),)),
        torch(architectures=("sm_90a",)),
    ],
)
def test_what_is_in_order_is_no_problem(hardware: Hardware) -> None:
    assert ids(hardware) == []


def test_each_throttled_device_is_named() -> None:
    devices = tuple(replace(H100, index=index, event_reasons=("hw_thermal",)) for index in range(2))
    assert [
        problem.message.count(f"(device {i})")
        for i, problem in enumerate(setup_problems(machine(accelerators=devices)))
    ] == [1, 1]

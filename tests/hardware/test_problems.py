from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from advisor.hardware import setup_problems
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


@pytest.mark.parametrize(
    ("hardware", "problem", "told"),
    [
        (machine(torch=TORCH_CPU), "cpu_only_build", "NVIDIA H100 80GB HBM3"),
        (machine(torch=TORCH_CPU, accelerators=(TPU,)), "cpu_only_build", "TPU v5e"),
        (
            machine(torch=replace(TORCH, cuda="13.0", accelerator_available=False)),
            "old_driver",
            "runs CUDA up to 12.4",
        ),
        (torch(architectures=("sm_70", "sm_80")), "architecture_missing", "sm_90"),
        # Code for 9.1 does not run on 9.0.
        (torch(architectures=("sm_91",)), "architecture_missing", "sm_90"),
        (torch(version="2.4.1"), "old_torch", "2.4.1"),
        (machine(torch=None, torch_error="no torch"), "torch_missing", "no torch"),
        (machine(without_driver=("NVIDIA 0x2330",)), "driver_missing", "NVIDIA 0x2330"),
        (machine(accelerators=(), hidden_accelerators=4), "accelerators_hidden", "all 4"),
        (memory(shared_memory_bytes=64 << 20), "shared_memory_small", "64 MiB"),
        (memory(swap_used_bytes=20 * GIB), "swapping", "20.0 GiB"),
        (
            machine(cpu=replace(CPU, quota_cpus=4.0, usable_cpus=4.0)),
            "quota_below_cores",
            "4 CPUs' worth of time, but 128",
        ),
        (disk(free_bytes=GIB), "disk_nearly_full", "1.0 of 2000 GiB"),
        (with_h100(event_reasons=("hw_thermal",), clock_sm_mhz=800), "throttled", "800 of 1980 MHz"),
        (with_h100(power_limit_w=400.0), "power_limited", "400 W"),
        (with_h100(pcie_width_now=4), "narrow_link", "4 of 16 lanes"),
        (with_h100(pcie_generation_now=3), "narrow_link", "generation 3 instead of 5"),
        (with_h100(other_processes=2), "device_shared", "2 other"),
    ],
)
def test_a_problem_is_found_alone_and_told_with_its_value(hardware: Hardware, problem: str, told: str) -> None:
    (found,) = setup_problems(hardware)
    assert found.id == problem
    assert told in found.message
    assert found.advice


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

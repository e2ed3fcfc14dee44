"""Healthy machines to start from; a test changes the one thing that it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from advisor.types.hardware import Accelerator, Cpu, Disk, Hardware, Memory, TorchBuild

GIB = 1 << 30

CPU = Cpu(
    model="AMD EPYC 7763 64-Core Processor",
    architecture="x86_64",
    cores_physical=64,
    cores_logical=128,
    affinity_count=128,
    quota_cpus=None,
    usable_cpus=128.0,
    instruction_sets=("avx2",),
    numa_nodes=2,
)
MEMORY = Memory(
    ram_bytes=512 * GIB,
    available_bytes=480 * GIB,
    limit_bytes=None,
    swap_total_bytes=8 * GIB,
    swap_used_bytes=0,
    shared_memory_bytes=256 * GIB,
    shared_memory_free_bytes=256 * GIB,
)
DISK = Disk(path="/data", file_system="ext4", total_bytes=2000 * GIB, free_bytes=900 * GIB, rotational=False)
H100 = Accelerator(
    index=0,
    kind="cuda",
    name="NVIDIA H100 80GB HBM3",
    memory_bytes=81559 << 20,
    compute_capability=(9, 0),
    driver="550.54.15",
    driver_cuda="12.4",
    pcie_generation_now=5,
    pcie_generation_max=5,
    pcie_width_now=16,
    pcie_width_max=16,
    clock_sm_mhz=1980,
    clock_sm_max_mhz=1980,
    temperature_c=41,
    power_limit_w=700.0,
    power_limit_default_w=700.0,
    busy_fraction=0.9,
    other_processes=0,
    mig=False,
)
TORCH = TorchBuild(
    version="2.13.0+cu124",
    python="3.11.7",
    cuda="12.4",
    rocm=None,
    cudnn="90100",
    accelerator_available=True,
    architectures=("sm_80", "sm_90", "compute_90"),
)
TORCH_CPU = TorchBuild(
    version="2.13.0+cpu", python="3.11.7", cuda=None, rocm=None, cudnn=None, accelerator_available=False
)


def machine(**changes: Any) -> Hardware:
    """A healthy machine with one H100, changed."""
    healthy = Hardware(
        hostname="node7",
        system="Linux 6.8.0",
        cpu=CPU,
        memory=MEMORY,
        disk=DISK,
        accelerators=(H100,),
        torch=TORCH,
    )
    return replace(healthy, **changes)


def with_h100(**changes: Any) -> Hardware:
    """The same machine, with the H100 changed."""
    return machine(accelerators=(replace(H100, **changes),))

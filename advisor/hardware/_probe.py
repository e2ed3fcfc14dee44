"""Combination of all sources into one `Hardware`."""

from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

from ..types.hardware import Accelerator, Hardware
from .bus import BusDevice, bus
from .cgroup import limits
from .cpu import cpu
from .disk import disk
from .memory import memory
from .nvidia import NvidiaDevices, nvidia
from .peaks import with_table_peaks
from .problems import setup_problems
from .torch_build import TorchAnswer, torch_build
from .tpu import tpu

AMD_MEMORY_MIN_BYTES = 6 * 10**9
"""Least memory of an AMD device: integrated graphics, which nobody trains on, takes up to 4 GB of the RAM."""


def probe(*, folder: Path, interpreter: str | None = None) -> Hardware:
    """Return what this machine has, as a script started in `folder` from here would see it.

    Without `interpreter`, no other process is started. With one, its torch is inspected too, which takes as long as
    importing torch. If it has none, `torch_error` says so.
    """
    group = limits()
    on_bus = bus()
    from_nvml = nvidia()
    answer = torch_build(interpreter)
    hardware = Hardware(
        hostname=platform.node(),
        system=f"{platform.system()} {platform.release()}",
        cpu=cpu(quota_cpus=group.quota_cpus),
        memory=memory(cgroup=group),
        disk=disk(folder),
        accelerators=tuple(map(with_table_peaks, _accelerators(from_nvml, on_bus, answer))),
        links=from_nvml.links,
        torch=answer.build,
        torch_error=answer.error,
        without_driver=_without_driver(from_nvml, on_bus, answer),
        hidden_accelerators=from_nvml.hidden,
    )
    return replace(hardware, problems=setup_problems(hardware))


def _accelerators(
    from_nvml: NvidiaDevices, on_bus: tuple[BusDevice, ...], answer: TorchAnswer
) -> tuple[Accelerator, ...]:
    """Merge the sources: NVML knows NVIDIA's devices best, torch other makers', and the bus fills in the rest."""
    from_torch = answer.accelerators
    if from_nvml.accelerators or from_nvml.hidden:
        from_torch = tuple(item for item in from_torch if item.kind != "cuda")
    amd = () if any(item.kind == "rocm" for item in from_torch) else _amd(on_bus)
    return (*from_nvml.accelerators, *from_torch, *amd, *tpu(on_bus))


def _amd(on_bus: tuple[BusDevice, ...]) -> tuple[Accelerator, ...]:
    served = (
        item
        for item in on_bus
        if item.vendor == "AMD" and item.driver == "amdgpu" and (item.memory_bytes or 0) >= AMD_MEMORY_MIN_BYTES
    )
    return tuple(
        Accelerator(index=index, kind="rocm", name=str(item), memory_bytes=item.memory_bytes)
        for index, item in enumerate(served)
    )


def _without_driver(from_nvml: NvidiaDevices, on_bus: tuple[BusDevice, ...], answer: TorchAnswer) -> tuple[str, ...]:
    """Return the GPUs on the bus that nobody can use. A GPU passed to a virtual machine (vfio) is no fault."""
    works = from_nvml.error is None or any(item.kind == "cuda" for item in answer.accelerators)
    return tuple(
        str(item)
        for item in on_bus
        if (item.vendor == "NVIDIA" and not works and item.driver != "vfio-pci")
        or (item.vendor == "AMD" and item.driver is None)
    )

"""NVIDIA devices as their management library (NVML) describes them, without a CUDA context.

Each field is queried separately, because each may fail: virtual devices hide their clocks, consumer cards their power
limit, and integrated ones their PCIe link. Unavailable fields are None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import psutil

from ..types.hardware import Accelerator

EVENT_REASONS: Mapping[int, str] = {
    0x04: "sw_power_cap",
    0x08: "hw_slowdown",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
}
"""NVML's bits that mean "slower than it could be"; the others (idle, clocks set by the user) are no fault."""

MAX_DEVICES_AND_LINKS = 64
"""Limit on loops in case a driver answers nonsense; no machine has more."""


@dataclass(frozen=True, kw_only=True)
class NvidiaDevices:
    accelerators: tuple[Accelerator, ...] = ()
    links: tuple[str, ...] = ()
    hidden: int = 0
    """Number of devices that CUDA_VISIBLE_DEVICES hides from the script."""
    error: str | None = None
    """Reason why NVML could not be queried; None if it answered."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    accelerator: Accelerator
    uuid: str | None
    parent_uuid: str | None = None
    handle: Any = None


def nvidia(*, nvml: ModuleType | None = None, environment: Mapping[str, str] | None = None) -> NvidiaDevices:
    """Return the devices that a script started from here would see, in its order.

    `nvml` stands in for the module `pynvml`, and `environment` for this process's own.
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return NvidiaDevices(error=f"{type(error).__name__}: {error}")
    try:
        found = _devices(nvml)
        wanted = (os.environ if environment is None else environment).get("CUDA_VISIBLE_DEVICES")
        visible = found if wanted is None else _visible(found, wanted)
        return NvidiaDevices(
            accelerators=tuple(item.accelerator for item in visible),
            links=_links(nvml, visible),
            hidden=len(found) - len(visible),
        )
    finally:
        _ask(nvml, "nvmlShutdown")


def _ask(nvml: ModuleType, function: str, *arguments: Any) -> Any:
    """Return the function's answer, or None if this device, driver or binding has none."""
    try:
        return getattr(nvml, function)(*arguments)
    # AttributeError: an older binding without the function. ValueError: one that cannot decode the answer.
    except (nvml.NVMLError, AttributeError, ValueError):
        return None


def _devices(nvml: ModuleType) -> list[_Found]:
    count = _ask(nvml, "nvmlDeviceGetCount") or 0
    driver = _text(_ask(nvml, "nvmlSystemGetDriverVersion"))
    cuda = _cuda_version(_ask(nvml, "nvmlSystemGetCudaDriverVersion"))
    ours = _our_processes()
    found = []
    for index in range(min(count, MAX_DEVICES_AND_LINKS)):
        # A device that fell off the bus has no handle; the others still count.
        handle = _ask(nvml, "nvmlDeviceGetHandleByIndex", index)
        if handle is None:
            continue
        whole = _device(nvml, handle, index=index, driver=driver, cuda=cuda, ours=ours)
        uuid = _text(_ask(nvml, "nvmlDeviceGetUUID", handle))
        slices = _mig_slices(nvml, handle, whole, uuid) if whole.mig else []
        found.extend(slices or [_Found(accelerator=whole, uuid=uuid, handle=handle)])
    return found


def _device(
    nvml: ModuleType, handle: Any, *, index: int, driver: str | None, cuda: str | None, ours: frozenset[int]
) -> Accelerator:
    def ask(function: str, *arguments: Any) -> Any:
        return _ask(nvml, function, handle, *arguments)

    memory = ask("nvmlDeviceGetMemoryInfo")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    use = ask("nvmlDeviceGetUtilizationRates")
    mig = ask("nvmlDeviceGetMigMode")
    processes = ask("nvmlDeviceGetComputeRunningProcesses")
    return Accelerator(
        index=index,
        kind="cuda",
        name=_text(ask("nvmlDeviceGetName")) or "NVIDIA device without a name",
        memory_bytes=None if memory is None else int(memory.total),
        memory_used_bytes=None if memory is None else int(memory.used),
        compute_capability=None if capability is None else (int(capability[0]), int(capability[1])),
        driver=driver,
        driver_cuda=cuda,
        pcie_generation_now=ask("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_generation_max=ask("nvmlDeviceGetMaxPcieLinkGeneration"),
        pcie_width_now=ask("nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_width_max=ask("nvmlDeviceGetMaxPcieLinkWidth"),
        clock_sm_mhz=ask("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM),
        clock_sm_max_mhz=ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
        temperature_c=ask("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        power_limit_w=_watts(ask("nvmlDeviceGetEnforcedPowerLimit")),
        power_limit_default_w=_watts(ask("nvmlDeviceGetPowerManagementDefaultLimit")),
        event_reasons=_event_reasons(nvml, handle),
        busy_fraction=None if use is None else use.gpu / 100,
        other_processes=None if processes is None else sum(1 for process in processes if process.pid not in ours),
        mig=None if mig is None else bool(mig[0]),
    )


def _event_reasons(nvml: ModuleType, handle: Any) -> tuple[str, ...]:
    bits = _ask(nvml, "nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:
        # Its name before driver 535.
        bits = _ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    return tuple(name for bit, name in EVENT_REASONS.items() if (bits or 0) & bit)


def _mig_slices(nvml: ModuleType, handle: Any, whole: Accelerator, parent_uuid: str | None) -> list[_Found]:
    """Return the instances of a partitioned device: a script sees an instance, never the whole."""
    found = []
    count = _ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0
    for number in range(min(count, MAX_DEVICES_AND_LINKS)):
        part = _ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, number)
        if part is None:
            continue
        memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", part)
        name = _text(_ask(nvml, "nvmlDeviceGetName", part))
        found.append(
            _Found(
                accelerator=replace(
                    whole,
                    name=name or f"{whole.name} MIG",
                    memory_bytes=None if memory is None else int(memory.total),
                    memory_used_bytes=None if memory is None else int(memory.used),
                    busy_fraction=None,
                    other_processes=None,
                ),
                uuid=_text(_ask(nvml, "nvmlDeviceGetUUID", part)),
                parent_uuid=parent_uuid,
                handle=part,
            )
        )
    return found


def _visible(found: list[_Found], wanted: str) -> list[_Found]:
    """Filter by CUDA_VISIBLE_DEVICES: indices or beginnings of UUIDs; the first wrong one ends the list.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
    """
    visible: list[_Found] = []
    for word in (part.strip() for part in wanted.split(",")):
        if word.isdigit():
            match = [item for item in found if item.accelerator.index == int(word)]
        elif word.startswith(("GPU-", "MIG-")):
            match = [item for item in found if _named(item, word)]
        else:
            match = []
        fresh = [item for item in match if item not in visible]
        if not fresh:
            break
        visible.append(fresh[0])
    return visible


def _named(item: _Found, word: str) -> bool:
    return any(uuid is not None and uuid.startswith(word) for uuid in (item.uuid, item.parent_uuid))


def _links(nvml: ModuleType, visible: list[_Found]) -> tuple[str, ...]:
    """Describe the connection of each pair of whole devices, for example "0-1 nvlink"."""
    whole = [item for item in visible if not item.accelerator.mig]
    links = []
    for position, one in enumerate(whole):
        for other in whole[position + 1 :]:
            link = nvml.NVML_P2P_CAPS_INDEX_NVLINK
            status = _ask(nvml, "nvmlDeviceGetP2PStatus", one.handle, other.handle, link)
            if status is None:
                continue
            kind = "nvlink" if status == getattr(nvml, "NVML_P2P_STATUS_OK", 0) else "pcie"
            links.append(f"{one.accelerator.index}-{other.accelerator.index} {kind}")
    return tuple(links)


def _our_processes() -> frozenset[int]:
    """Return the ids of this process and its descendants: in a notebook, we may well use the device ourselves."""
    try:
        children = psutil.Process().children(recursive=True)
    except psutil.Error:
        children = []
    return frozenset({os.getpid(), *(child.pid for child in children)})


def _text(value: Any) -> str | None:
    """Return a text, which bindings before version 11.5 give as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _cuda_version(number: int | None) -> str | None:
    """Format NVML's version number, which writes 12.4 as 12040."""
    return None if not number else f"{number // 1000}.{number % 1000 // 10}"

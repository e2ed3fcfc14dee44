"""Hardware as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..storage import documents
from ..types.hardware import Accelerator, Hardware, Rate

if TYPE_CHECKING:
    from rich.console import Console

VERSION = 1
"""Version of the JSON: fields are added under the same number, but never renamed or removed."""

GIB = 1 << 30
NOT_KNOWN = "unknown"


def as_json(hardware: Hardware) -> dict[str, Any]:
    """Convert everything to JSON types, with the fields' own names."""
    return {"version": VERSION, **documents.plain(hardware)}


def from_json(content: Mapping[str, Any]) -> Hardware:
    """Read the output of `as_json`, ignoring fields of a later advisor; raise ValueError for anything else."""
    from pydantic import TypeAdapter

    fields = {key: value for key, value in content.items() if key != "version"}
    return TypeAdapter(Hardware).validate_python(fields)


def render(hardware: Hardware, console: Console) -> None:
    """Print a compact table, then the set-up problems in plain words."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _rows(hardware):
        table.add_row(label, escape(text))
    console.print(table)
    console.print()
    if not hardware.problems:
        console.print("No misconfiguration was found.")
    for problem in hardware.problems:
        console.print(f"[yellow]![/yellow] {escape(problem.message)}", highlight=False)
        console.print(f"  {escape(problem.advice)}", style="dim", highlight=False)


def _rows(hardware: Hardware) -> Iterator[tuple[str, str]]:
    yield "Machine", f"{hardware.hostname}, {hardware.system}"
    yield "CPU", _cpu(hardware)
    if hardware.cpu.instruction_sets:
        yield "", ", ".join(hardware.cpu.instruction_sets)
    yield from _rates("", hardware.cpu_peak_flops, hardware.cpu_memory_bandwidth)
    yield "Memory", _memory(hardware)
    disk = hardware.disk
    if disk is not None:
        kind = {True: ", rotating", False: ", solid state", None: ""}[disk.rotational]
        yield (
            "Disk",
            f"{_gib(disk.free_bytes)} free of {_gib(disk.total_bytes)} at {disk.path} ({disk.file_system}{kind})",
        )
    for device in hardware.accelerators:
        yield from _accelerator(device)
    if not hardware.accelerators:
        yield "Accelerator", "none"
    if hardware.links:
        yield "Links", ", ".join(hardware.links)
    yield "torch", _torch(hardware)


def _cpu(hardware: Hardware) -> str:
    cpu = hardware.cpu
    cores = f"{cpu.cores_physical or NOT_KNOWN} cores, {cpu.cores_logical} threads, {cpu.usable_cpus:g} usable"
    quota = "" if cpu.quota_cpus is None else f" (quota {cpu.quota_cpus:g})"
    nodes = "" if cpu.numa_nodes == 1 else f", {cpu.numa_nodes} NUMA nodes"
    return f"{cpu.model} ({cpu.architecture}): {cores}{quota}{nodes}"


def _memory(hardware: Hardware) -> str:
    memory = hardware.memory
    parts = [f"{_gib(memory.ram_bytes)}, {_gib(memory.available_bytes)} available"]
    if memory.limit_bytes is not None:
        parts.append(f"limited to {_gib(memory.limit_bytes)}")
    if memory.swap_total_bytes:
        parts.append(f"swap {_gib(memory.swap_used_bytes)} of {_gib(memory.swap_total_bytes)} used")
    if memory.shared_memory_bytes is not None:
        parts.append(f"/dev/shm {_gib(memory.shared_memory_bytes)}")
    return ", ".join(parts)


def _accelerator(device: Accelerator) -> Iterator[tuple[str, str]]:
    memory = NOT_KNOWN if device.memory_bytes is None else _gib(device.memory_bytes)
    parts = [f"{device.name}, memory {memory}"]
    if device.compute_capability is not None:
        parts.append("compute capability {}.{}".format(*device.compute_capability))
    if device.driver is not None:
        parts.append(
            f"driver {device.driver}" + ("" if device.driver_cuda is None else f" (CUDA {device.driver_cuda})")
        )
    if device.pcie_generation_max is not None and device.pcie_width_max is not None:
        parts.append(f"PCIe {device.pcie_generation_max} × {device.pcie_width_max}")
    if device.power_limit_w is not None:
        parts.append(f"{device.power_limit_w:.0f} W")
    if device.mig:
        parts.append("partitioned (MIG)")
    yield f"{device.kind.upper()} {device.index}", ", ".join(parts)
    yield from _rates("", device.peak_flops, device.memory_bandwidth)
    link = device.host_to_device_bandwidth
    if link is not None:
        back = device.device_to_host_bandwidth
        yield (
            "",
            f"host to device {_bandwidth(link)}" + ("" if back is None else f", device to host {_bandwidth(back)}"),
        )


def _rates(label: str, flops: Mapping[str, Rate], bandwidth: Rate | None) -> Iterator[tuple[str, str]]:
    for basis, name in (("table", "data sheet peak"), ("measured", "measured")):
        parts = [f"{dtype} {_tera(rate.value)}" for dtype, rate in flops.items() if rate.basis == basis]
        if bandwidth is not None and bandwidth.basis == basis:
            parts.append(f"memory {_bandwidth(bandwidth)}")
        if parts:
            yield label, f"{name}: TFLOP/s " + ", ".join(parts) if flops else f"{name}: {', '.join(parts)}"


def _tera(flops: float) -> str:
    return f"{flops / 1e12:.3g}" if flops < 1e14 else f"{flops / 1e12:.0f}"


def _bandwidth(rate: Rate) -> str:
    return f"{rate.value / 1e9:.0f} GB/s"


def _torch(hardware: Hardware) -> str:
    torch = hardware.torch
    if torch is None:
        return hardware.torch_error or "not inspected"
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.rocm}" if torch.rocm else "no CUDA or ROCm"
    use = "accelerator usable" if torch.accelerator_available else "no usable accelerator"
    return f"{torch.version} (Python {torch.python}; {built}); {use}"


def _gib(size: int) -> str:
    gib = size / GIB
    return f"{gib:.0f} GiB" if gib >= 10 else f"{gib:.1f} GiB" if gib >= 1 else f"{size / (1 << 20):.0f} MiB"

"""Measured peaks: rates of a matrix product and a copy on this machine, instead of the data sheet's.

`calibrate_child.py` measures them in the user's interpreter. The results are kept in the cache folder for the same
devices, driver and torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import AdvisorError, ExitCode, StorageError
from ..storage.safe_files import write_atomic
from ..types.hardware import Accelerator, Hardware, Rate
from ._child import ChildFailedError, ask_child
from .torch_build import torch_build

CHILD = Path(__file__).with_name("calibrate_child.py")

VERSION = 1
"""Version of the cached file and of the method; results of another version are measured again."""

TIMEOUT_S = 180.0
"""Limit for measuring, which takes ten to twenty seconds plus the start of a large device on first use."""


class CalibrationError(AdvisorError):
    """Error of peaks that could not be measured; the text says why."""

    exit_code = ExitCode.NOTHING_MEASURED


def calibrate(hardware: Hardware, *, interpreter: str, cache_folder: Path) -> Hardware:
    """Return the hardware with measured peaks in place of the table's, from the cache if measured before.

    Rates that could not be measured keep the table's value. Raises CalibrationError if the interpreter measures
    nothing. An unwritable cache folder only costs another measurement next time.
    """
    if hardware.torch is None:
        answer = torch_build(interpreter)
        if answer.build is None:
            raise CalibrationError(f"nothing can be measured: {answer.error}")
        hardware = replace(hardware, torch=answer.build)
    identity = _identity(hardware)
    file = cache_folder / f"peaks-{_digest(identity)}.json"
    measured = _read(file, identity)
    if measured is None:
        measured = _measure(interpreter, hardware)
        _write(file, identity, measured)
    return _with_measured(hardware, measured)


def calibrated(hardware: Hardware, *, cache_folder: Path) -> Hardware:
    """Return the hardware with the peaks measured before on these devices, with this driver and torch.

    Without such peaks, return it unchanged.
    """
    if hardware.torch is None:
        return hardware
    identity = _identity(hardware)
    measured = _read(cache_folder / f"peaks-{_digest(identity)}.json", identity)
    return hardware if measured is None else _with_measured(hardware, measured)


def _identity(hardware: Hardware) -> dict[str, Any]:
    """Return everything that the rates depend on."""
    assert hardware.torch is not None
    return {
        "version": VERSION,
        "cpu": hardware.cpu.model,
        "threads": _threads(hardware),
        "accelerators": [
            [item.kind, item.name, item.memory_bytes, item.driver, item.power_limit_w] for item in hardware.accelerators
        ],
        "torch": hardware.torch.version,
        "system": hardware.system,
    }


def _threads(hardware: Hardware) -> int:
    cores = hardware.cpu.cores_physical or hardware.cpu.cores_logical
    return max(1, min(cores, int(hardware.cpu.usable_cpus)))


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _measure(interpreter: str, hardware: Hardware) -> dict[str, Any]:
    try:
        measured = ask_child(interpreter, CHILD, {"threads": _threads(hardware)}, timeout_s=TIMEOUT_S)
    except ChildFailedError as error:
        raise CalibrationError(f"the peaks could not be measured: {error}") from error
    if not _is_sound(measured):
        raise CalibrationError(f"the peaks could not be measured: {interpreter} answered {str(measured)[:200]}")
    return measured


def _is_sound(measured: Any) -> bool:
    """Return True if it is what the child writes: rates, all of them positive numbers."""

    def rates(entry: Any) -> bool:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("flops"), Mapping):
            return False
        links = (entry.get("host_to_device", 1.0), entry.get("device_to_host", 1.0))
        values = (*entry["flops"].values(), entry.get("bandwidth"), *links)
        return all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in values)

    if not isinstance(measured, Mapping) or not isinstance(measured.get("accelerators"), list):
        return False
    devices = measured["accelerators"]
    return rates(measured.get("cpu")) and all(rates(item) and isinstance(item.get("name"), str) for item in devices)


def _read(file: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return earlier measurements; None if there are none, or the file differs from what was written."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("identity") != identity:
        return None
    measured = content.get("measured")
    return measured if _is_sound(measured) and content.get("digest") == _digest(measured) else None


def _write(file: Path, identity: dict[str, Any], measured: dict[str, Any]) -> None:
    content = {"identity": identity, "measured": measured, "digest": _digest(measured)}
    # A full or read-only disk must not lose what was just measured.
    with contextlib.suppress(OSError, StorageError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(content).encode())


def _with_measured(hardware: Hardware, measured: Mapping[str, Any]) -> Hardware:
    assert hardware.torch is not None
    torch = hardware.torch.version
    threads = _threads(hardware)
    by_name = {item["name"]: item for item in measured["accelerators"]}
    on_cpu = measured["cpu"]
    return replace(
        hardware,
        cpu_peak_flops={
            dtype: _rate(value, f"square matrix product, {threads} threads, torch {torch}")
            for dtype, value in on_cpu["flops"].items()
        },
        cpu_memory_bandwidth=_rate(on_cpu["bandwidth"], f"copy in memory, read and written, {threads} threads"),
        accelerators=tuple(_measured_device(item, by_name, torch) for item in hardware.accelerators),
    )


def _measured_device(device: Accelerator, by_name: Mapping[str, Any], torch: str) -> Accelerator:
    """Return the device with what was measured on those of its name; torch calls Apple's just "mps"."""
    measured = by_name.get(device.name, by_name.get("mps") if device.kind == "mps" else None)
    if measured is None:
        return device
    flops = {dtype: _rate(value, f"square matrix product, torch {torch}") for dtype, value in measured["flops"].items()}
    return replace(
        device,
        peak_flops={**device.peak_flops, **flops},
        memory_bandwidth=_rate(measured["bandwidth"], "copy on the device, read and written"),
        host_to_device_bandwidth=_rate(measured["host_to_device"], "copy from pinned memory"),
        device_to_host_bandwidth=_rate(measured["device_to_host"], "copy to pinned memory"),
    )


def _rate(value: float, how: str) -> Rate:
    return Rate(value=value, basis="measured", source=how)

"""Peak rates from `profiles/devices/*.toml`, found by the driver's name for the device."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import AdvisorError
from ..storage.data_files import profiles_folder
from ..types.hardware import Accelerator, Rate

DTYPES = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8")


class DeviceProfileError(AdvisorError):
    """Error of an unusable file in profiles/devices; the text names it."""


@dataclass(frozen=True, kw_only=True)
class DeviceProfile:
    """Device of the table. The figures are dense ones, since training has no sparse weights."""

    name: str
    patterns: tuple[re.Pattern[str], ...]
    """Patterns, each for a driver's whole name for the device."""
    file: Path
    memory_bytes_between: tuple[float, float] | None = None
    """Memory range that tells devices with the same name apart."""
    memory_bytes: int | None = None
    compute_capability: tuple[int, int] | None = None
    peak_flops: Mapping[str, Rate] = field(default_factory=dict)
    memory_bandwidth: Rate | None = None

    def matches(self, accelerator: Accelerator) -> bool:
        if not any(pattern.fullmatch(accelerator.name.strip()) for pattern in self.patterns):
            return False
        if self.memory_bytes_between is None:
            return True
        low, high = self.memory_bytes_between
        return accelerator.memory_bytes is not None and low <= accelerator.memory_bytes <= high


def with_table_peaks(accelerator: Accelerator, profiles: tuple[DeviceProfile, ...] | None = None) -> Accelerator:
    """Return the accelerator with its peaks, or unchanged if the table does not know it.

    No data sheet gives the peaks of a partition (MIG), so it is left unchanged too.
    """
    if accelerator.mig and "MIG" in accelerator.name.upper():
        return accelerator
    for profile in device_profiles() if profiles is None else profiles:
        if profile.matches(accelerator):
            return replace(
                accelerator,
                peak_flops=dict(profile.peak_flops),
                memory_bandwidth=profile.memory_bandwidth,
                memory_bytes=accelerator.memory_bytes or profile.memory_bytes,
            )
    return accelerator


@lru_cache(maxsize=1)
def device_profiles() -> tuple[DeviceProfile, ...]:
    """Return all devices of the table that ships with advisor."""
    files = sorted((profiles_folder() / "devices").glob("*.toml"))
    return tuple(profile for file in files for profile in read_profiles(file))


def read_profiles(file: Path) -> Iterator[DeviceProfile]:
    """Read the devices of one file; raise DeviceProfileError, naming file and device, for anything unexpected."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeviceProfileError(f"{file}: {error}") from error
    sources = {key: f"{entry['name']}, {entry['url']}" for key, entry in content.get("sources", {}).items()}
    for number, device in enumerate(content.get("device", ()), start=1):
        try:
            yield _profile(device, sources, file)
        except (KeyError, TypeError, ValueError, re.error) as error:
            label = device.get("name", f"device {number}")
            raise DeviceProfileError(f"{file}: {label}: {type(error).__name__}: {error}") from error


def _profile(device: Mapping[str, Any], sources: Mapping[str, str], file: Path) -> DeviceProfile:
    flops: dict[str, Rate] = {}
    bandwidth, memory = None, None
    for group in device["figures"]:
        source = sources[group["source"]]
        for key, value in group.items():
            dtype = key.removesuffix("_tflops")
            if key.endswith("_tflops") and dtype in DTYPES:
                flops[dtype] = Rate(value=value * 1e12, basis="table", source=source)
            elif key == "bandwidth_gb_per_s":
                bandwidth = Rate(value=value * 1e9, basis="table", source=source)
            elif key == "memory_gb":
                memory = int(value * 1e9)
            elif key not in ("source", "note"):
                raise ValueError(f"unknown figure {key!r}")
    between = device.get("memory_gb_between")
    capability = device.get("compute_capability")
    return DeviceProfile(
        name=device["name"],
        patterns=tuple(re.compile(pattern, re.IGNORECASE) for pattern in device["patterns"]),
        file=file,
        memory_bytes_between=None if between is None else (between[0] * 1e9, between[1] * 1e9),
        memory_bytes=memory,
        compute_capability=None if capability is None else (capability[0], capability[1]),
        peak_flops=flops,
        memory_bandwidth=bandwidth,
    )

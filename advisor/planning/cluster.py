"""Devices to plan for: `h100:8x16`, with figures given by hand where the tables have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from ..hardware.peaks import device_profiles
from ..spelling import parameter
from ..types import Hardware, PlannedDevice
from ..unknown_name import UnknownNameError
from .figures import Achieved, achieved, read

HERE = "here"
"""Name of the device that the profile was measured on."""
_GRID = re.compile(r"(?P<name>[^:]+)(?::(?P<each>\d+)(?:x(?P<machines>\d+))?)?")
LARGEST_COUNT = 1_000_000
UNKNOWN_PEAK, UNKNOWN_BANDWIDTH = 1e12, 1e10
"""FLOP/s and bytes/s that stand for those of a measured device that no table knows: they cancel out."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Figures that the user gives by hand; they replace those of the tables. Rates are those of one direction.

    Units are powers of ten, as makers give them: 80 GB are 80e9 bytes.
    """

    memory_gb: float | None = None
    peak_tflops: float | None = None
    bandwidth_gb_s: float | None = None
    link_gb_s: float | None = None
    network_gb_s: float | None = None

    @property
    def describes_a_device(self) -> bool:
        return None not in (self.memory_gb, self.peak_tflops, self.bandwidth_gb_s)

    def named(self) -> tuple[str, ...]:
        """Return the figures in words."""
        units = {
            "memory": (self.memory_gb, "GB"),
            "peak": (self.peak_tflops, "TFLOP/s"),
            "memory bandwidth": (self.bandwidth_gb_s, "GB/s"),
            "link": (self.link_gb_s, "GB/s"),
            "network": (self.network_gb_s, "GB/s"),
        }
        return tuple(f"{name} {value:g} {unit}" for name, (value, unit) in units.items() if value is not None)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The devices, and the fractions of their peaks that training reaches."""

    device: PlannedDevice
    achieved: Achieved
    peak_flops: Mapping[str, float]
    """Peaks by precision, as far as they are known."""
    hides_communication: bool = True
    """Communication runs beside computing; a CPU does both itself."""

    @property
    def usable_bytes(self) -> float:
        return self.device.memory_bytes * self.achieved.usable_memory

    @property
    def link_bytes_per_s(self) -> float:
        return self.device.link_bandwidth * self.achieved.link.value

    @property
    def network_bytes_per_s(self) -> float:
        return self.device.network_bandwidth * self.achieved.network.value

    @property
    def memory_bytes_per_s(self) -> float:
        return self.device.memory_bandwidth * self.achieved.memory.value


def devices_of(text: str, precision: str, given: Given, here: Hardware | None = None) -> Cluster:
    """Return the devices that `text` names, such as h100, h100:8 or h100:8x16.

    `here` is the machine of a profile, for the name `here`. Raises UsageError for an unknown name or an impossible
    number.
    """
    grid = _Grid.of(text)
    if grid.name == HERE:
        kind = _here(here, grid, precision)
    else:
        kind = _in_tables(grid, describes_a_device=given.describes_a_device)
    peaks = kind.peaks
    found = _with_given(kind.device, given)
    if given.peak_tflops is not None:
        peaks = {**peaks, precision: given.peak_tflops * 1e12}
    if precision not in peaks:
        known = ", ".join(sorted(peaks)) or "none"
        raise UsageError(
            f"the peak of {found.name} in {precision} is not known: choose another precision (known: {known}), or "
            f"give the peak by {parameter('peak_tflops', 100.0)}"
        )
    found = replace(found, peak_flops=peaks[precision])
    return Cluster(
        device=found, achieved=achieved(kind.capability), peak_flops=peaks, hides_communication=not kind.is_cpu
    )


def known_names() -> tuple[str, ...]:
    """Return all names of devices, the short ones first."""
    short = [entry["short"] for entry in read("devices")["device"]]
    entries = {entry["name"] for entry in read("devices")["device"]}
    return (*short, *(_slug(profile.name) for profile in device_profiles() if profile.name not in entries))


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """The parts of `h100:8x16`."""

    name: str
    per_machine: int
    machines: int

    @classmethod
    def of(cls, text: str) -> _Grid:
        match = _GRID.fullmatch(text.strip().lower())
        if match is None:
            raise UsageError(f"invalid devices {text!r}: expected a device such as h100, h100:8 or h100:8x16")
        found = cls(
            name=match["name"].strip(), per_machine=int(match["each"] or 1), machines=int(match["machines"] or 1)
        )
        if not 0 < found.per_machine * found.machines <= LARGEST_COUNT:
            raise UsageError(f"invalid devices {text!r}: expected 1 to {LARGEST_COUNT:,} devices")
        return found


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of device, before the user's own figures."""

    device: PlannedDevice
    peaks: Mapping[str, float]
    """FLOP/s by precision."""
    capability: tuple[int, int] | None
    is_cpu: bool = False


def _in_tables(grid: _Grid, *, describes_a_device: bool) -> _Kind:
    """Return a device of the tables, or one that the user describes under any name."""
    entry = next((entry for entry in read("devices")["device"] if entry["short"] == grid.name), None)
    wanted = entry["name"] if entry is not None else grid.name
    profile = next((one for one in device_profiles() if wanted in (one.name, _slug(one.name))), None)
    links = entry or read("devices")["other"]
    if profile is None:
        if not describes_a_device:
            raise _unknown(grid.name)
        return _Kind(device=_device(grid, grid.name, links), peaks={}, capability=None)
    rate = profile.memory_bandwidth
    device = replace(
        _device(grid, profile.name, links),
        memory_bytes=profile.memory_bytes or 0.0,
        memory_bandwidth=rate.value if rate is not None else 0.0,
    )
    peaks = {dtype: one.value for dtype, one in profile.peak_flops.items()}
    return _Kind(device=device, peaks=peaks, capability=profile.compute_capability)


def _here(here: Hardware | None, grid: _Grid, precision: str) -> _Kind:
    """Return devices like the one that was measured. Where its peaks are not known they cancel out, as nothing is
    scaled."""
    if here is None:
        raise UsageError("the device here is known from a profile only: name a script or a stored run, not a model")
    tables = read("devices")
    if here.accelerators:
        found = here.accelerators[0]
        name, memory, rates, rate = found.name, found.memory_bytes, found.peak_flops, found.memory_bandwidth
        known = _table_name(found.name)
        links = next((one for one in tables["device"] if one["name"] == known), tables["other"])
        capability = found.compute_capability
    else:
        name, memory = here.cpu.model, here.memory_limit_bytes // grid.per_machine
        rates, rate = here.cpu_peak_flops, here.cpu_memory_bandwidth
        links, capability = tables["cpu"], None
    device = replace(
        _device(grid, name, links),
        memory_bytes=float(memory or 0),
        memory_bandwidth=rate.value if rate is not None else UNKNOWN_BANDWIDTH,
    )
    peaks = {precision: UNKNOWN_PEAK, **{dtype: one.value for dtype, one in rates.items()}}
    return _Kind(device=device, peaks=peaks, capability=capability, is_cpu=not here.accelerators)


def _device(grid: _Grid, name: str, links: Mapping[str, Any]) -> PlannedDevice:
    """Return so many devices with these links, whose memory and peak are not known yet."""
    return PlannedDevice(
        name=name,
        memory_bytes=0.0,
        peak_flops=0.0,
        memory_bandwidth=0.0,
        per_machine=grid.per_machine,
        machines=grid.machines,
        link=links["link"],
        link_bandwidth=links["link_gb_per_s"] * 1e9,
        network_bandwidth=links["network_gb_per_s"] * 1e9,
    )


def _table_name(driver_name: str) -> str | None:
    for profile in device_profiles():
        if any(pattern.fullmatch(driver_name.strip()) for pattern in profile.patterns):
            return profile.name
    return None


def _with_given(device: PlannedDevice, given: Given) -> PlannedDevice:
    changes: dict[str, Any] = {}
    for name, value in (
        ("memory_bytes", given.memory_gb),
        ("memory_bandwidth", given.bandwidth_gb_s),
        ("link_bandwidth", given.link_gb_s),
        ("network_bandwidth", given.network_gb_s),
    ):
        if value is not None:
            changes[name] = value * 1e9
    if given.link_gb_s is not None:
        changes["link"] = "link"
    found = replace(device, **changes, by_hand=given.named())
    if not found.memory_bytes or not found.memory_bandwidth:
        what, missing, example = ("memory", "memory_gb", 80.0)
        if found.memory_bytes:
            what, missing, example = ("memory bandwidth", "bandwidth_gb_s", 900.0)
        raise UsageError(f"the tables have no {what} of {found.name}: give {parameter(missing, example)}")
    return found


def _unknown(name: str) -> UnknownNameError:
    examples = {"memory_gb": 80.0, "peak_tflops": 900.0, "bandwidth_gb_s": 3000.0}
    *first, last = (parameter(given, value) for given, value in examples.items())
    return UnknownNameError(
        f"unknown device {name!r}", known_names(), name=name, otherwise=f"give {', '.join(first)} and {last}"
    )


def _slug(name: str) -> str:
    """Return a device's name as users type it: `NVIDIA GeForce RTX 4090` → `rtx-4090`."""
    words = re.sub(r"\b(nvidia|amd|geforce|instinct|generation)\b", " ", name.lower())
    return "-".join(re.findall(r"[a-z0-9]+", words))

"""Devices to plan for: `h100:8x16`, with figures given by hand where the tables have none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import UsageError
from ..hardware.peaks import DeviceProfile, device_profiles
from ..spelling import parameter
from ..types import Hardware, PlannedDevice
from ..unknown_name import UnknownNameError
from .figures import Achieved, achieved, read

HERE = "here"
"""Name of the device that the profile was measured on."""
_GRID = re.compile(r"(?P<name>[^:]+)(?::(?P<each>\d+)(?:x(?P<machines>\d+))?)?")
LARGEST_COUNT = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Given:
    """Figures that the user gives by hand; they replace those of the tables. Rates are those of one direction."""

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
    name, each, machines = _grid(text)
    device, peaks, capability = _device(name, each, machines, precision, given, here)
    found = _with_given(device, given)
    if given.peak_tflops is not None:
        peaks = {**peaks, precision: given.peak_tflops * 1e12}
    if precision not in peaks:
        known = ", ".join(sorted(peaks)) or "none"
        raise UsageError(
            f"the peak of {found.name} in {precision} is not known: choose another precision (known: {known}), or "
            f"give the peak by {parameter('peak_tflops', 100.0)}"
        )
    found = replace(found, peak_flops=peaks[precision])
    on_cpu = _grid(text)[0] == HERE and here is not None and not here.accelerators
    return Cluster(device=found, achieved=achieved(capability), peak_flops=peaks, hides_communication=not on_cpu)


def known_names() -> tuple[str, ...]:
    """Return all names of devices, the short ones first."""
    short = [entry["short"] for entry in read("devices")["device"]]
    entries = {entry["name"] for entry in read("devices")["device"]}
    return (*short, *(_slug(profile.name) for profile in device_profiles() if profile.name not in entries))


def _grid(text: str) -> tuple[str, int, int]:
    match = _GRID.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"invalid devices {text!r}: expected a device such as h100, h100:8 or h100:8x16")
    each, machines = int(match["each"] or 1), int(match["machines"] or 1)
    if not 0 < each * machines <= LARGEST_COUNT:
        raise UsageError(f"invalid devices {text!r}: expected 1 to {LARGEST_COUNT:,} devices")
    return match["name"].strip(), each, machines


def _device(
    name: str, each: int, machines: int, precision: str, given: Given, here: Hardware | None
) -> tuple[PlannedDevice, Mapping[str, float], tuple[int, int] | None]:
    if name == HERE:
        return _here(each, machines, precision, here)
    entry = next((entry for entry in read("devices")["device"] if entry["short"] == name), None)
    wanted = entry["name"] if entry is not None else name
    profile = next((one for one in device_profiles() if wanted in (one.name, _slug(one.name))), None)
    if profile is None and not given.describes_a_device:
        raise _unknown(name)
    return _planned(name, profile, each, machines, entry or read("devices")["other"])


def _planned(
    name: str, profile: DeviceProfile | None, each: int, machines: int, links: Mapping[str, Any]
) -> tuple[PlannedDevice, Mapping[str, float], tuple[int, int] | None]:
    bandwidth = profile.memory_bandwidth if profile is not None else None
    memory = profile.memory_bytes if profile is not None else None
    device = PlannedDevice(
        name=profile.name if profile is not None else name,
        memory_bytes=memory or 0.0,
        peak_flops=0.0,
        memory_bandwidth=bandwidth.value if bandwidth is not None else 0.0,
        per_machine=each,
        machines=machines,
        link=links["link"],
        link_bandwidth=links["link_gb_per_s"] * 1e9,
        network_bandwidth=links["network_gb_per_s"] * 1e9,
    )
    peaks = {} if profile is None else {dtype: rate.value for dtype, rate in profile.peak_flops.items()}
    return device, peaks, None if profile is None else profile.compute_capability


def _here(
    each: int, machines: int, precision: str, here: Hardware | None
) -> tuple[PlannedDevice, Mapping[str, float], tuple[int, int] | None]:
    """Return devices like the one that was measured. Where its peaks are not known they cancel out, as nothing is
    scaled."""
    if here is None:
        raise UsageError("the device here is known from a profile only: name a script or a stored run, not a model")
    links = read("devices")["other"]
    if here.accelerators:
        found = here.accelerators[0]
        name, memory, rates, rate = found.name, found.memory_bytes, found.peak_flops, found.memory_bandwidth
        capability = found.compute_capability
        links = next((one for one in read("devices")["device"] if one["name"] == _table_name(found.name)), links)
    else:
        links = read("devices")["cpu"]
        name, memory = here.cpu.model, here.memory_limit_bytes // each
        rates, rate, capability = here.cpu_peak_flops, here.cpu_memory_bandwidth, None
    device, _peaks, _capability = _planned(name, None, each, machines, links)
    device = replace(
        device, memory_bytes=float(memory or 0), memory_bandwidth=rate.value if rate is not None else UNKNOWN_BANDWIDTH
    )
    peaks = {dtype: one.value for dtype, one in rates.items()}
    return device, {precision: UNKNOWN_PEAK, **peaks}, capability


UNKNOWN_PEAK = 1e12
UNKNOWN_BANDWIDTH = 1e10
"""Peaks of a measured device that no table knows."""


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
    """`NVIDIA GeForce RTX 4090` → `rtx-4090`."""
    words = re.sub(r"\b(nvidia|amd|geforce|instinct|generation)\b", " ", name.lower())
    return "-".join(re.findall(r"[a-z0-9]+", words))

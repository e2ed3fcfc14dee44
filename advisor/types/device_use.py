"""Figures of the device's own clock, from a few traced updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DeviceGap:
    """Time in which the device had nothing to do while the CPU was on one line, per update."""

    phase: str
    """Phase that the CPU was in; "" if it is not known."""
    file: str
    """Empty if the line is not known."""
    line: int
    function: str
    seconds_per_update: float
    gaps_per_update: float
    longest_s: float


@dataclass(frozen=True, kw_only=True)
class SyncSite:
    """Calls at one line that wait for the device, per update."""

    what: str
    """The script's call (item, cpu, to …); the runtime's (cudaStreamSynchronize …) if none of the script's was seen."""
    file: str
    line: int
    function: str
    calls_per_update: float
    seconds_per_update: float
    """Wait; no loss as long as the device computes meanwhile."""
    idle_after_s: float
    """Idle time of the device that the wait ends in, until the next kernel was launched."""


@dataclass(frozen=True, kw_only=True)
class DeviceUse:
    """Work of the device in an update, from Kineto (`torch.profiler`); seconds per update.

    The device's work is taken from the traced updates, and its idle time from the baseline's: tracing makes launches
    slower, and kernels hardly.
    """

    updates: int
    """Traced updates counted."""
    update_s: float
    """Length of the baseline's update, on which the fractions rest."""
    traced_update_s: float
    busy_s: float
    """Time in which some kernel or copy ran (their union)."""
    kernels_per_update: float
    kernel_median_s: float | None
    tensor_core_s: float
    """Time in kernels whose names say that they use tensor cores."""
    nccl_s: float
    """Time in kernels of collectives; they also run while they wait for other ranks."""
    copy_s: float
    idle_s: Mapping[str, float]
    """Idle time by the phase that the CPU was in."""
    nccl_exposed_s: float = 0.0
    """The part of it in which nothing else ran."""
    gaps: tuple[DeviceGap, ...] = ()
    syncs: tuple[SyncSite, ...] = ()
    idle_after_reads_s: float = 0.0
    """Idle time after reads of the script. Without them the host runs ahead, and later gaps may go as well."""
    to_device_bytes: int = 0
    to_device_pageable_bytes: int = 0
    to_host_bytes: int = 0
    to_host_pageable_bytes: int = 0
    cost_s: float = 0.0
    """Seconds that starting, stopping and reading the profiler took, besides the updates."""

    @property
    def busy_fraction(self) -> float:
        """Fraction of the baseline's update in which the device worked."""
        return min(1.0, self.busy_s / self.update_s) if self.update_s > 0 else 0.0

    def idle_fraction(self, *phases: str) -> float:
        """Return the fraction of the update in which the device idled while the CPU was in one of these phases."""
        whole = sum(self.idle_s.values())
        if whole <= 0:
            return 0.0
        return (1 - self.busy_fraction) * sum(self.idle_s.get(name, 0.0) for name in phases) / whole

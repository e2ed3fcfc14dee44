"""Memory that a process of the script takes, and the memory that is free: whether several fit side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..hardware.cgroup import limits
from ..hardware.memory import memory
from ..hardware.nvidia import nvidia
from ..runtime.script_run_record import ScriptRunRecord

MARGIN = 0.8
"""Fraction of the free memory that processes may take: the page cache and other programs need the rest."""
UNSEEN = 1.25
"""Factor on the largest known footprint for a version that has not run yet: settings such as workers need memory."""
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Needs of one process of the script."""

    host_bytes: int
    device_bytes: int | None = None
    """None if no device was watched."""
    start_s: float = 0.0
    """Seconds until its first update has ended."""
    ranks: int = 1
    """Processes that train together in one script run."""

    @classmethod
    def of(cls, script_runs: Iterable[ScriptRunRecord]) -> Footprint | None:
        """Return the most that these script runs needed; None if they were not watched."""
        runs = [one for one in script_runs if one.usage and one.first_update_at_s is not None]
        if not runs:
            return None
        return cls(
            host_bytes=max(point.rss_bytes for one in runs for point in one.usage),
            device_bytes=max((grown for one in runs if (grown := _device_bytes(one)) is not None), default=None),
            start_s=max(one.first_update_at_s or 0.0 for one in runs),
            ranks=max(one.hello.world_size if one.hello is not None else 1 for one in runs),
        )

    def scaled(self, factor: float) -> Footprint:
        """Return the footprint of a version that needs so many times the memory."""
        device = None if self.device_bytes is None else round(factor * self.device_bytes)
        return replace(self, host_bytes=round(factor * self.host_bytes), device_bytes=device)


def _device_bytes(script_run: ScriptRunRecord) -> int | None:
    """Return by how much the use of the device grew while the script ran."""
    samples = script_run.devices.samples if script_run.devices is not None else []
    known = [sample.memory_bytes for sample in samples if sample.memory_bytes is not None]
    return max(known) - min(known) if known else None


@dataclass(frozen=True, kw_only=True)
class Room:
    """Free memory at one moment."""

    host_bytes: int
    device_bytes: int | None = None
    """None if no device answers."""


def free_room() -> Room:
    """Return the memory that this process and its children may still take; of several devices, on the fullest."""
    free = [
        device.memory_bytes - device.memory_used_bytes
        for device in nvidia().accelerators
        if device.memory_bytes is not None and device.memory_used_bytes is not None
    ]
    return Room(host_bytes=memory(cgroup=limits()).available_bytes, device_bytes=min(free, default=None))


def misfit(needs: Sequence[Footprint], room: Room, *, has_devices: bool) -> str | None:
    """Return why processes with these needs do not fit into the room together; None if they do."""
    host = sum(one.host_bytes for one in needs)
    if host > MARGIN * room.host_bytes:
        return f"they need {host / GIB:.1f} GiB of memory together, and {room.host_bytes / GIB:.1f} GiB are free"
    if not has_devices:
        return None
    known = [one.device_bytes for one in needs if one.device_bytes is not None]
    if room.device_bytes is None or len(known) < len(needs):
        return "the memory that they take on the device is not known"
    device = sum(known)
    if device > MARGIN * room.device_bytes:
        return f"they need {device / GIB:.1f} GiB of device memory, and {room.device_bytes / GIB:.1f} GiB are free"
    return None

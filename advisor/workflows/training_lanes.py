"""Trainings of a search that run at once, and what each of them sees of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..runtime.ranks_launch import device_of
from ..runtime.script_run_record import ScriptRunRecord
from ..types import Hardware, Workload
from ..verification.footprint import Footprint, Room, free_room, misfit

MOST_TOGETHER = 4
"""Largest number of trainings that run side by side."""
Lane = Mapping[str, str]
"""Variables of the environment that one of them has besides the user's."""
ALONE: tuple[Lane, ...] = ({},)


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """One for each training that may run at once."""

    lanes: tuple[Lane, ...] = ALONE
    why_one: str = ""
    """Reason why devices of the machine stay idle; empty where none does."""


def lanes_of(
    run: ScriptRunRecord | None,
    workload: Workload,
    hardware: Hardware,
    *,
    protects: bool,
    environment: Mapping[str, str],
    room: Callable[[], Room] = free_room,
) -> Lanes:
    """Return the lanes for which there are devices, CPUs and memory, after a training that ran alone in `run`.

    On accelerators, every training has one of its own, and sees no other.
    """
    footprint = Footprint.of([run]) if run is not None else None
    if run is None or footprint is None:
        return Lanes()
    on_devices = workload.device != "cpu"
    if not protects:
        return Lanes(why_one="without isolation, they would write the same files" if on_devices else "")
    if footprint.ranks > 1:
        return Lanes()
    busy = [point.tree_cpus for point in run.usage if point.at_s > (run.first_update_at_s or 0.0)]
    cpus = max(1.0, statistics.fmean(busy) if busy else float(hardware.cpu.usable_cpus))
    count = min(MOST_TOGETHER, int(hardware.cpu.usable_cpus / (cpus + 1)))
    if on_devices:
        devices = len(hardware.accelerators)
        why = _why_one_device(workload, hardware) if devices > 1 else ""
        count = min(count, 1 if why else devices)
        if devices > 1 and count < 2 and not why:
            why = (
                f"{hardware.cpu.usable_cpus:g} usable CPUs are too few for two of them, which keep {cpus:.1f} busy each"
            )
    while count > 1 and misfit([footprint] * count, room(), has_devices=False) is not None:
        count -= 1
    if count < 2:
        return Lanes(why_one=(why or "memory does not hold two of them") if on_devices and devices > 1 else "")
    return Lanes(lanes=tuple(device_of(number, environment) if on_devices else {} for number in range(count)))


def _why_one_device(workload: Workload, hardware: Hardware) -> str:
    """Return why trainings cannot have an accelerator each; empty if they can."""
    used = sorted({device for model in workload.models for device in model.devices})
    if used != ["cuda:0"]:
        return f"the script trains on {' and '.join(used) or 'devices that are not known'}, not on the first one alone"
    if any(model.data_parallel for model in workload.models):
        return "the script divides its batches among them"
    if any(one.kind != "cuda" or one.mig for one in hardware.accelerators):
        return "only whole CUDA devices can be given to a training of its own"
    if len({(one.name, one.memory_bytes) for one in hardware.accelerators}) > 1:
        return "they are not alike, and times on one say nothing of another"
    busy = [str(one.index) for one in hardware.accelerators if one.other_processes]
    return f"other programs run on device {', '.join(busy)}" if busy else ""

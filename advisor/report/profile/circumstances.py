"""Basis of the measurement, one line each, for all output formats of the report."""

from __future__ import annotations

from ...types import OFF_STEP, Hardware, LoaderTimes, MemoryUse, Profile
from .. import format


def hardware_line(hardware: Hardware) -> str:
    """Describe the hardware: 8 usable of 128 CPUs (AMD EPYC 7763), 16.0 GiB, 1 × NVIDIA H200, torch 2.13.0."""
    cpu = hardware.cpu
    parts = [
        f"{cpu.usable_cpus:g} usable of {cpu.cores_logical} CPUs ({format.one_line(cpu.model)})",
        format.size(hardware.memory_limit_bytes),
    ]
    names = [format.one_line(accelerator.name) for accelerator in hardware.accelerators]
    parts += [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)] or ["no accelerator"]
    if hardware.torch is not None:
        parts.append(f"torch {format.one_line(hardware.torch.version)}")
    return ", ".join(parts)


def overhead_line(profile: Profile) -> str:
    """Describe the cost of measuring: 0.4% of each update (−0.2–0.9%), or why it is not known."""
    overhead = profile.overhead
    if overhead.fraction is None:
        return "unknown: too few windows ran without hooks"
    fraction = max(0.0, overhead.fraction)
    span = "" if overhead.high is None else f", at most {format.percent(max(0.0, overhead.high))}"
    hooks = overhead.hooks_us_per_update
    return f"measuring took {format.percent(fraction)} of the time{span}" + (
        "" if hooks is None else f" (hooks {format.number(hooks)} µs per update)"
    )


def epoch_end_line(profile: Profile) -> str | None:
    """Describe an epoch's end: evaluation 310 ms, checkpoints 40.0 ms; None if none was seen."""
    end = profile.epoch_end
    if not end.seen or not end.seconds:
        return None
    costs = ", ".join(f"{format.phase_name(name)} {format.duration(seconds)}" for name, seconds in end.seconds.items())
    return costs + (" (the epoch was ended early for the measurement)" if end.forced else "")


def off_step_line(profile: Profile) -> str:
    """Describe the work beside the updates: evaluation 4%, checkpoints 0.5%; empty if there is next to none."""
    return ", ".join(
        f"{format.phase_name(name)} {format.percent(share)}"
        for name in OFF_STEP
        if (share := profile.off_step.get(name, 0.0)) >= 0.001
    )


def memory_line(memory: MemoryUse) -> str | None:
    """Describe the memory: parameters 45.0 MiB, gradients 45.0 MiB …; None if no part was measured."""
    parts = (
        ("parameters", memory.parameters_bytes),
        ("gradients", memory.gradients_bytes),
        ("optimizer state", memory.optimizer_bytes),
        ("activations stored for backward", memory.activations_bytes),
    )
    known = [f"{name} {format.size(count)}" for name, count in parts if count is not None]
    if memory.creep_confirmed:
        known.append(f"growing by {format.size(memory.creep_bytes_per_update)} per update")
    return ", ".join(known) or None


def loader_line(loader: LoaderTimes) -> str:
    """Describe the loader: fetch 66.0 ms, collate 6.00 ms an update, 0 workers; alone 72.0 ms."""
    parts = (("fetch", loader.fetch_s), ("collate", loader.collate_s), ("transfer", loader.transfer_s))
    known = [f"{name} {format.duration(seconds)}" for name, seconds in parts if seconds is not None]
    alone = "" if loader.alone_s is None else f"; alone {format.duration(loader.alone_s)}"
    of_update = f"{', '.join(known)} per update, " if known else ""
    return f"{of_update}{format.plural(loader.workers, 'worker')}{alone}"

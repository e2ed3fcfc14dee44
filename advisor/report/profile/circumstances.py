"""Basis of the measurement, one line each, for all output formats of the report."""

from __future__ import annotations

from ...plural import plural
from ...types import OFF_STEP, Hardware, LoaderTimes, MemoryUse, Profile
from .. import format

BOUND_WORTH_TELLING = 0.10
"""Upper end of the overhead above which it says nothing: it is the noise of the machine."""
LEAST_PART = 0.005
"""Least share that is named."""


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


LEAST_BOUND = 0.01
"""Least bound that is told: "at most 0%" reads as a mistake."""


def overhead_line(profile: Profile) -> str:
    """Describe the cost of measuring: 0.4% of the time, at most 0.9%; or its bound, or why it is not known."""
    overhead = profile.overhead
    if overhead.high is None and overhead.fraction is None:
        return "unknown: too few windows ran without hooks"
    most = max(0.0, overhead.high) if overhead.high is not None else None
    if overhead.fraction is None or (most is not None and most > BOUND_WORTH_TELLING):
        if most is None or most > BOUND_WORTH_TELLING:
            return "unknown: windows with and without hooks scatter by more than they differ"
        return f"measuring took at most {format.percent(max(most, LEAST_BOUND))} of the time"
    span = "" if most is None else f", at most {format.percent(most)}"
    hooks = overhead.hooks_us_per_update
    return f"measuring took {format.percent(max(0.0, overhead.fraction))} of the time{span}" + (
        "" if not hooks else f" (hooks {format.number(hooks)} µs per update)"
    )


def device_line(profile: Profile) -> str | None:
    """Describe the device by its own clock: busy 43% of an update, 1,412 kernels …; None on a CPU."""
    use = profile.device_use
    if use is None:
        return f"not traced: {format.one_line(profile.why_no_device_use)}" if profile.why_no_device_use else None
    kernels = f"{use.kernels_per_update:,.0f} kernels"
    if use.kernel_median_s is not None:
        kernels += f", typically {format.duration(use.kernel_median_s)} long"
    parts = [f"busy {format.percent(use.busy_fraction)} of an update ({kernels})"]
    for name, seconds in (("tensor cores", use.tensor_core_s), ("NCCL", use.nccl_s), ("copies", use.copy_s)):
        if use.busy_s > 0 and seconds / use.busy_s >= LEAST_PART:
            parts.append(f"{name} {format.percent(min(1.0, seconds / use.busy_s))} of that")
    idle = {name: share for name in use.idle_s if (share := use.idle_fraction(name)) >= LEAST_PART}
    if idle:
        named = sorted(idle.items(), key=lambda item: -item[1])
        parts.append(
            "idle in " + ", ".join(f"{format.phase_name(name)} {format.percent(share)}" for name, share in named)
        )
    return f"{'; '.join(parts)}. Tracing {plural(use.updates, 'update')} took {format.duration(use.cost_s)} more"


def mfu_line(profile: Profile) -> str | None:
    """Describe the convention of the fraction of the peak; None if there is none."""
    compute = profile.compute
    if compute is None or compute.peak_fraction is None:
        return None
    return (
        f"{format.percent(compute.peak_fraction)} of the {compute.peak_dtype or ''} peak: FLOPs of matrix products, "
        "convolutions and attention once; recomputation is not counted"
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
    return f"{of_update}{plural(loader.workers, 'worker')}{alone}"

"""What the measurement rests on, in a line each, for all faces of the report."""

from __future__ import annotations

from ..types import Hardware, LoaderTimes, MemoryUse, Profile
from . import words


def hardware_line(hardware: Hardware) -> str:
    """8 usable of 128 CPUs (AMD EPYC 7763), 16.0 GiB, 1 × NVIDIA H200, torch 2.13.0."""
    cpu = hardware.cpu
    parts = [
        f"{cpu.usable_cpus:g} usable of {cpu.cores_logical} CPUs ({words.one_line(cpu.model)})",
        words.size(hardware.memory_limit_bytes),
    ]
    names = [words.one_line(accelerator.name) for accelerator in hardware.accelerators]
    parts += [f"{names.count(name)} × {name}" for name in dict.fromkeys(names)] or ["no accelerator"]
    if hardware.torch is not None:
        parts.append(f"torch {words.one_line(hardware.torch.version)}")
    return ", ".join(parts)


def overhead_line(profile: Profile) -> str:
    """What measuring cost: 0.4% of each update (−0.2–0.9%), or why that is not known."""
    overhead = profile.overhead
    if overhead.fraction is None:
        return "of measuring is not known: too few windows were run without hooks"
    fraction = max(0.0, overhead.fraction)
    span = "" if overhead.high is None else f", at most {words.percent(max(0.0, overhead.high))}"
    hooks = overhead.hooks_us_per_update
    return f"measuring cost {words.percent(fraction)} of the time{span}" + (
        "" if hooks is None else f" (hooks {words.number(hooks)} µs an update)"
    )


def epoch_end_line(profile: Profile) -> str | None:
    """evaluation 310 ms, checkpoints 40.0 ms; None where no epoch's end was seen."""
    end = profile.epoch_end
    if not end.seen or not end.seconds:
        return None
    costs = ", ".join(f"{words.phase_name(name)} {words.duration(seconds)}" for name, seconds in end.seconds.items())
    return costs + (" (the epoch was ended early for the look)" if end.forced else "")


def memory_line(memory: MemoryUse) -> str | None:
    """parameters 45.0 MiB, gradients 45.0 MiB …; None where no part was measured."""
    parts = (
        ("parameters", memory.parameters_bytes),
        ("gradients", memory.gradients_bytes),
        ("optimizer state", memory.optimizer_bytes),
        ("activations kept for backward", memory.activations_bytes),
    )
    known = [f"{name} {words.size(count)}" for name, count in parts if count is not None]
    if memory.creep_confirmed:
        known.append(f"growing by {words.size(memory.creep_bytes_per_update)} an update")
    return ", ".join(known) or None


def loader_line(loader: LoaderTimes) -> str:
    """fetch 66.0 ms, collate 6.00 ms an update, 0 workers; drained alone 72.0 ms."""
    parts = (("fetch", loader.fetch_s), ("collate", loader.collate_s), ("transfer", loader.transfer_s))
    known = [f"{name} {words.duration(seconds)}" for name, seconds in parts if seconds is not None]
    alone = "" if loader.alone_s is None else f"; drained alone {words.duration(loader.alone_s)}"
    of_update = f"{', '.join(known)} an update, " if known else ""
    return f"{of_update}{words.plural(loader.workers, 'worker')}{alone}"

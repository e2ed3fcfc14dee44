"""What the measurement rests on, in a line each, for all faces of the report."""

from __future__ import annotations

from ..types import Hardware, Profile
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

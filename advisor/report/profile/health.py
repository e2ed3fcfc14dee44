"""Conditions of calling a script healthy: a quiet machine, and nothing left open that could matter."""

from __future__ import annotations

from ... import contention, whatif
from ...severity import WARNING_SHARE
from ...types import Abstention, Finding, Profile
from .. import format

VISIBLE = 0.5
"""Fraction of the others' CPU time from which the programs that were seen account for it."""


def busy_machine(profile: Profile) -> str | None:
    """Say how busy other programs keep the machine, and which; None if they do not disturb the script."""
    system, cpu = profile.system, profile.hardware.cpu
    if system is None or system.loadavg_others is None:
        return None
    own = system.tree_cpus if system.tree_cpus is not None else system.main_cpus
    others = system.loadavg_others
    if not contention.is_disturbed(others, own, usable_cpus=cpu.usable_cpus, cpus=cpu.affinity_count):
        return None
    seen = sum(program.cpus for program in system.other_programs)
    named = ", ".join(f"{format.one_line(one.name)} {format.number(one.cpus)}" for one in system.other_programs)
    by = f" ({named})" if named and seen >= VISIBLE * others else " (most of them cannot be seen from here)"
    return f"other programs keep {format.number(others)} of {cpu.affinity_count} CPUs busy{by}"


def open_questions(profile: Profile) -> list[Abstention]:
    """Return the rules that could not judge a cost that may be worth a warning."""
    return [one for one in profile.abstained if one.most_share >= WARNING_SHARE]


def unproven_gain(profile: Profile) -> Finding | None:
    """Return the hint that may give most, if that is as much as a warning's; None if no hint does."""
    least = 1 / (1 - WARNING_SHARE)
    hints = [one for one in profile.findings if one.ceiling is not None and one.ceiling.speedup >= least]
    return max(hints, key=lambda one: one.ceiling.speedup if one.ceiling is not None else 1.0, default=None)


def only_compiled(profile: Profile) -> bool:
    """Return whether the script compiles a model that it trains, and no window ran it uncompiled."""
    models = profile.workload.models if profile.workload is not None else ()
    compared = {what_if.id for what_if in whatif.all_what_ifs() if what_if.eager}
    compiled = any(model.compiled and model.trainable_parameters > 0 for model in models)
    return compiled and not any(what_if.name in compared for what_if in profile.what_ifs)


def looked_at(profile: Profile) -> str | None:
    """Say which parts of the training were looked at, and which were not; None if it failed or was not measured."""
    if profile.failure is not None or profile.steps is None or profile.workload is None:
        return None
    parts = _parts(profile)
    seen = [name for name, why_not in parts if why_not is None]
    missing = [f"{name} ({why_not})" if why_not else name for name, why_not in parts if why_not is not None]
    said = f"Looked at: {', '.join(seen)}." if seen else ""
    return f"{said} Not looked at: {', '.join(missing)}.".strip() if missing else said


def _parts(profile: Profile) -> list[tuple[str, str | None]]:
    """Return each part with the reason why it was not looked at; None if it was, "" for no particular reason."""
    workload, trace = profile.workload, profile.trace
    assert workload is not None
    on_device = workload.device != "cpu"
    traced = trace is not None and trace.torch_calls_per_update is not None
    has_loader = workload.train_loader is not None
    parts = [
        ("waiting for data", None if has_loader else "the script makes its own batches"),
        ("operators", None if traced else "compiled or not traced"),
        ("lines of Python", None if profile.lines else ""),
        ("what-ifs", None if profile.what_ifs else "too little time"),
        ("end of an epoch", None if profile.epoch_end.seen else "none was seen"),
        ("growth of memory", None if _memory_was_watched(profile) else "too few updates"),
    ]
    if on_device:
        parts.append(("the device's own clock", None if profile.device_use is not None else "not traced"))
    if only_compiled(profile):
        parts.append(("the same model without compiling", ""))
    return parts


def _memory_was_watched(profile: Profile) -> bool:
    return profile.memory is not None and profile.memory.creep_bytes_per_update is not None

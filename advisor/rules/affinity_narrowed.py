"""The training process may run on fewer CPUs than it was given."""

from __future__ import annotations

from .. import contention
from ..types import Ceiling, CpuLimits, Evidence, LimitSetter
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._read import overhead_fraction, phase_share, setter_places

FULL_SHARE = 0.8
"""Share of the allowed CPUs that the script's processes keep busy, from which more CPUs would be used, too."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which these are too small for more threads."""


def judge(evidence: Evidence) -> Judgement:
    limits, busy = evidence.workload.cpu_limits, evidence.system.tree_cpus
    if limits is None or busy is None:
        return None
    available = _available(evidence, limits)
    if busy < FULL_SHARE * limits.allowed:
        return _beside_others(evidence, busy)
    share = _cpu_share(evidence)
    saved = share * (1 - limits.allowed / available)
    if saved < WARNING_SHARE:
        return None
    narrowed_here = limits.allowed < limits.at_start
    setters = limits.set_by("affinity") if narrowed_here else ()
    setter = setters[-1] if setters else None
    return Hit(
        share=saved,
        severity=severity_of(saved) if narrowed_here else "info",
        evidence=f"The training process may run on {limits.allowed} of {available:g} CPUs, and keeps {busy:.1f} busy: "
        f"{_who(limits, setter)}.",
        advice=_advice(limits, setter),
        where=setter_places(setters),
        ceiling=Ceiling.from_share(saved),
    )


def _beside_others(evidence: Evidence, busy: float) -> Undecided | None:
    """Return the doubt if other programs may be why the script does not use all that it is allowed."""
    cpu, others = evidence.hardware.cpu, evidence.system.loadavg_others
    if not contention.is_disturbed(others, busy, usable_cpus=cpu.usable_cpus, cpus=cpu.affinity_count):
        return None
    return Undecided(
        why=f"other programs kept {others:.1f} of {cpu.affinity_count} CPUs busy, and the script {busy:.1f}"
    )


def _is_narrowed(evidence: Evidence) -> bool:
    limits = evidence.workload.cpu_limits
    return limits is not None and 0 < limits.allowed < _available(evidence, limits)


def _available(evidence: Evidence, limits: CpuLimits) -> float:
    """Return the CPUs that the process could use if nobody had narrowed its affinity; a quota stays."""
    cpu = evidence.hardware.cpu
    count = float(max(limits.at_start, cpu.cpuset_count or 0))
    return count if cpu.quota_cpus is None else min(count, cpu.quota_cpus)


def _cpu_share(evidence: Evidence) -> float:
    """Return the share of the loop that more CPUs can shorten."""
    waiting = phase_share(evidence, "data_wait") if evidence.workload.train_loader is not None else 0.0
    overhead = overhead_fraction(evidence)
    if evidence.on_accelerator or (overhead is not None and overhead > MAX_OVERHEAD):
        return waiting
    return waiting + phase_share(evidence, "forward", "backward", "optimizer")


def _who(limits: CpuLimits, setter: LimitSetter | None) -> str:
    if limits.allowed >= limits.at_start:
        return "it was started so (taskset, a job scheduler or a launcher)"
    if setter is None:
        return f"it began with {limits.at_start}, and no call of Python narrowed it, so a library's own code did"
    if setter.library:
        return f"{setter.library}, called by the line below, narrowed it"
    return "the line below narrowed it"


def _advice(limits: CpuLimits, setter: LimitSetter | None) -> str:
    if limits.allowed >= limits.at_start:
        return "Start the script without `taskset`, or ask the scheduler for more CPUs."
    if setter is None:
        return "Call `os.sched_setaffinity(0, range(os.cpu_count()))` after the imports, or set OMP_PROC_BIND=false."
    return "Remove the call, or give it all CPUs: worker processes and torch's threads inherit it."


_BUSY_ONE = {"main_cpus": 0.98, "tree_cpus": 1.0}
_LINE = LimitSetter(what="affinity", value="1", file="train.py", line=9, function="<module>")
_PINNED = CpuLimits(allowed=1, at_start=8, setters=(_LINE,))
_FLAGS = {"num_threads": 1}

RULE = Rule(
    id="affinity_narrowed",
    title="the process may run on fewer CPUs than it was given",
    headline="runs on a part of its CPUs",
    looks_at="The CPUs on which the threads of the training process may run, read in that process, compared with those "
    "at its start and those of the control group; and how busy the script keeps them.",
    thresholds=("FULL_SHARE", "MAX_OVERHEAD", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="sched_setaffinity(2): children inherit the mask; libraries and OpenMP runtimes set it on import.",
    url="https://docs.python.org/3/library/os.html#os.sched_setaffinity",
    applies=_is_narrowed,
    judge=judge,
    examples=(
        Example(
            name="a line pins the script to one CPU of eight",
            evidence=healthy_cpu(workload={"cpu_limits": _PINNED, "flags": _FLAGS}, system=_BUSY_ONE),
            fires=True,
        ),
        Example(
            name="an import narrowed it, and the workers starve an accelerator",
            evidence=healthy_cuda(
                phases={"data_wait": 0.5},
                workload={
                    "cpu_limits": CpuLimits(allowed=1, at_start=8),
                    "loaders": (train_loader(num_workers=6),),
                },
                system=_BUSY_ONE,
            ),
            fires=True,
        ),
        Example(
            name="started with taskset on two of eight CPUs",
            evidence=healthy_cpu(
                hardware={"cpu": {"affinity_count": 2, "usable_cpus": 2.0, "cpuset_count": 8}},
                workload={"cpu_limits": CpuLimits(allowed=2, at_start=2), "flags": {"num_threads": 2}},
                system={"main_cpus": 1.9, "tree_cpus": 1.9},
            ),
            fires=True,
        ),
        Example(
            name="a container with two CPUs",
            evidence=healthy_cpu(
                hardware={"cpu": {"affinity_count": 2, "usable_cpus": 2.0, "cpuset_count": 2}},
                workload={"cpu_limits": CpuLimits(allowed=2, at_start=2), "flags": {"num_threads": 2}},
                system={"main_cpus": 1.9, "tree_cpus": 1.9},
            ),
            fires=False,
        ),
        Example(
            name="seven of eight CPUs, one left for others",
            evidence=healthy_cpu(
                workload={"cpu_limits": CpuLimits(allowed=7, at_start=8), "flags": {"num_threads": 7}},
                phases={"data_wait": 0.5, "forward": 0.1, "backward": 0.1, "optimizer": 0.02},
                system={"main_cpus": 1.0, "tree_cpus": 5.5},
            ),
            fires=False,
        ),
        Example(
            name="pinned to one CPU, which other programs take from it",
            evidence=healthy_cpu(
                workload={"cpu_limits": _PINNED},
                system={"main_cpus": 0.5, "tree_cpus": 0.5, "loadavg_others": 7.2},
            ),
            fires="abstains",
        ),
        Example(
            name="pinned to one CPU, and half of it idle",
            evidence=healthy_cpu(workload={"cpu_limits": _PINNED}, system={"main_cpus": 0.5, "tree_cpus": 0.5}),
            fires=False,
        ),
    ),
)

"""Training on a CPU with fewer threads than there are cores to run them."""

from __future__ import annotations

from ..plural import plural
from ..types import Ceiling, CpuLimits, Evidence, LimitSetter
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu, healthy_cuda, measured_fix
from ._measured_fix import gains
from ._read import (
    cpus_for_this_rank,
    overhead_fraction,
    percent,
    phase_share,
    setter_places,
    threads_set_by,
    usable_cores,
)

MIN_COMPUTE_SHARE = 0.5
"""Least share of the operators: threads speed up only them; with less, the loop does not wait for them."""
MIN_IDLE_CPUS = 0.7
"""CPUs that the script's own processes leave idle: workers may be using the others, which are then not free."""
MAX_OVERHEAD = 0.3
"""Share of calling operators above which these are too small for more threads."""
SURE_FLOPS_PER_S = 10e9
"""Rate per thread below which, without a trace, the operators may be too small for more threads."""


def judge(evidence: Evidence) -> Judgement:
    threads = max(evidence.workload.flags.num_threads, 1)
    cores = usable_cores(evidence)
    share = phase_share(evidence, "forward", "backward", "optimizer")
    if threads >= cores or share < MIN_COMPUTE_SHARE or _idle_cpus(evidence, threads) < MIN_IDLE_CPUS:
        return None
    overhead = overhead_fraction(evidence)
    if overhead is not None and overhead > MAX_OVERHEAD:
        return None
    saved = share * (1 - threads / cores)
    if saved < WARNING_SHARE:
        return None
    others = evidence.system.loadavg_others or 0.0
    if _idle_cpus(evidence, threads) - others < MIN_IDLE_CPUS and not gains(evidence, "threads"):
        return Undecided(
            why=f"other programs kept {others:.1f} of {evidence.hardware.cpu.usable_cpus:g} CPUs busy: threads that "
            "compete for a CPU wait for each other at every operator",
            most_share=saved,
        )
    rate = evidence.compute.achieved_flops_per_s
    sure = overhead is not None or (rate is not None and rate >= SURE_FLOPS_PER_S * threads)
    return Hit(
        share=saved,
        severity=severity_of(saved) if sure else "info",
        evidence=f"torch computes with {plural(threads, 'thread')} while {cores} cores are usable, "
        f"and {percent(share)} of the loop is forward, backward and optimizer{_setter_words(evidence)}.",
        advice=_advice(evidence, cores),
        where=setter_places(threads_set_by(evidence)),
        ceiling=Ceiling.from_share(saved),
        fixed_by="threads",
    )


def _idle_cpus(evidence: Evidence, threads: int) -> float:
    busy = evidence.system.tree_cpus
    if busy is None:
        workers = evidence.loader.worker_cpus if evidence.loader is not None else None
        busy = threads + (workers or 0.0)
    return cpus_for_this_rank(evidence) - busy


def _setter_words(evidence: Evidence) -> str:
    setters, value = threads_set_by(evidence), evidence.workload.flags.omp_num_threads
    if setters:
        by = setters[-1].library or "the script"
        return f" ({by} sets {' and '.join(one.what for one in setters)} to {setters[-1].value})"
    return f" (OMP_NUM_THREADS is {value} in the environment)" if value else ""


def _advice(evidence: Evidence, cores: int) -> str:
    if threads_set_by(evidence):
        return (
            f"Remove what sets it, or set {cores} there; variables count only before `import torch`, and "
            f"`torch.set_num_threads({cores})` afterwards."
        )
    if evidence.workload.flags.omp_num_threads:
        return f"Start the script without OMP_NUM_THREADS (shell profile, job template), or set it to {cores}."
    return f"Remove `torch.set_num_threads` (or `OMP_NUM_THREADS`), or set it to {cores}."


_ONE = {"flags": {"num_threads": 1}}
_ALONE = {"main_cpus": 1.0, "tree_cpus": 1.1}

RULE = Rule(
    id="threads_underused",
    title="torch uses fewer threads than there are cores",
    headline="leaves usable CPUs idle",
    looks_at="torch's threads compared with the cores that this rank may use (affinity, quota, ranks on the machine), "
    "the CPUs that the script's processes keep busy, and whether operators are large enough for more threads.",
    thresholds=("MIN_COMPUTE_SHARE", "MIN_IDLE_CPUS", "MAX_OVERHEAD", "SURE_FLOPS_PER_S", "WARNING_SHARE"),
    source="PyTorch's notes on CPU threading; launchers set OMP_NUM_THREADS=1 for every rank by default.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html",
    knobs=("threads",),
    applies=lambda evidence: not evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="one thread of eight, while other programs hold the rest",
            evidence=healthy_cpu(workload=_ONE, system={**_ALONE, "loadavg_others": 6.5}),
            fires="abstains",
        ),
        Example(
            name="one thread of eight beside other programs, and more threads were seen to gain",
            evidence=healthy_cpu(
                workload=_ONE,
                system={**_ALONE, "loadavg_others": 6.5},
                fixes=(measured_fix("threads", 8, 1.6, prompted=True),),
            ),
            fires=True,
        ),
        Example(
            name="one thread on eight cores, large products",
            evidence=healthy_cpu(workload=_ONE, system=_ALONE),
            fires=True,
        ),
        Example(
            name="one thread of eight, by a variable that the script sets",
            evidence=healthy_cpu(
                workload={
                    "flags": {"num_threads": 1, "omp_num_threads": "1"},
                    "cpu_limits": CpuLimits(
                        allowed=8,
                        at_start=8,
                        setters=(
                            LimitSetter(
                                what="OMP_NUM_THREADS", value="1", file="train.py", line=4, function="<module>"
                            ),
                        ),
                    ),
                },
                system=_ALONE,
            ),
            fires=True,
        ),
        Example(
            name="one thread, since the process may use one CPU only",
            evidence=healthy_cpu(workload={**_ONE, "cpu_limits": CpuLimits(allowed=1, at_start=8)}, system=_ALONE),
            fires=False,
        ),
        Example(
            name="two of eight, not traced, products at a high rate",
            evidence=healthy_cpu(
                workload={"flags": {"num_threads": 2}}, system={"main_cpus": 2.0, "tree_cpus": 2.2}, trace=None
            ),
            fires=True,
        ),
        Example(
            name="one thread a core, two hardware threads a core",
            evidence=healthy_cpu(hardware={"cpu": {"cores_logical": 16, "affinity_count": 16, "usable_cpus": 16.0}}),
            fires=False,
        ),
        Example(
            name="one thread, and workers use the other cores",
            evidence=healthy_cpu(workload=_ONE, system={"main_cpus": 1.0, "tree_cpus": 7.8}),
            fires=False,
        ),
        Example(
            name="one thread for tiny operators: a good choice",
            evidence=healthy_cpu(
                workload=_ONE, system=_ALONE, steps={"mean_s": 0.002}, trace={"torch_calls_per_update": 300.0}
            ),
            fires=False,
        ),
        Example(name="on an accelerator", evidence=healthy_cuda(workload=_ONE), fires=False),
    ),
)

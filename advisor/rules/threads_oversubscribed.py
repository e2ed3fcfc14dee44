"""Training on a CPU with more threads than there are CPUs to run them."""

from __future__ import annotations

from ..types import Ceiling, CpuLimits, Evidence, LimitSetter
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._read import cpus_for_this_rank, percent, phase_share, setter_places, threads_set_by

MIN_RATIO = 1.5
"""Threads for each usable CPU: threads that meet at every operator wait for the one that has no CPU; up to two
hardware threads of a core, or a fraction of a quota, are ordinary."""
MIN_COMPUTE_SHARE = 0.3
"""Least share of the operators: only they suffer; with less of the loop in them other fixes are worth more."""
COLLAPSE = 0.99
"""Largest part of the operators' time that may go: threads wait actively for one without a CPU, for whole slices of the
scheduler's time. Measured on two CPUs: 16 threads took 78 times as long as 2."""


def judge(evidence: Evidence) -> Judgement:
    threads = evidence.workload.flags.num_threads
    cpus = cpus_for_this_rank(evidence)
    share = phase_share(evidence, "forward", "backward", "optimizer")
    if threads < MIN_RATIO * max(cpus, 1.0) or share < MIN_COMPUTE_SHARE:
        return None
    saved = share * (1 - max(cpus, 1.0) / threads)
    return Hit(
        share=saved,
        severity=severity_of(saved, least="warning"),
        evidence=f"torch uses {threads} threads on {cpus:g} usable CPUs{_reason(evidence)}; forward, backward and "
        f"optimizer take {percent(share)} of the loop.",
        advice=f"Set `torch.set_num_threads({max(int(cpus), 1)})` or OMP_NUM_THREADS={max(int(cpus), 1)}: threads "
        "that share a CPU wait for each other at the end of every operator.",
        where=setter_places(threads_set_by(evidence)),
        ceiling=Ceiling.from_share(saved, high=share * COLLAPSE),
        fixed_by="threads",
    )


def _reason(evidence: Evidence) -> str:
    cpu, flags = evidence.hardware.cpu, evidence.workload.flags
    setters = threads_set_by(evidence)
    if setters:
        return f" ({setters[-1].library or 'the script'} sets {' and '.join(one.what for one in setters)})"
    if flags.omp_num_threads:
        return f" (OMP_NUM_THREADS is {flags.omp_num_threads})"
    if cpu.quota_cpus is not None and cpu.quota_cpus < cpu.affinity_count:
        return f" (a quota of {cpu.quota_cpus:g} where torch sees {cpu.affinity_count})"
    if evidence.workload.world_size > 1:
        return f" ({evidence.workload.world_size} ranks share {cpu.usable_cpus:g})"
    return ""


RULE = Rule(
    id="threads_oversubscribed",
    title="torch uses more threads than there are CPUs",
    headline="runs more threads than it has CPUs for",
    looks_at="torch's threads compared with the CPUs that this rank may use: affinity, control group quota, and ranks "
    "on the machine.",
    thresholds=("MIN_RATIO", "MIN_COMPUTE_SHARE", "COLLAPSE", "CRITICAL_SHARE"),
    source="batpred#4771: torch relies on the affinity (12 CPUs) although the quota allows 4. No published tool "
    "checks this.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.set_num_threads.html",
    knobs=("threads",),
    applies=lambda evidence: not evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="32 threads on eight CPUs",
            evidence=healthy_cpu(workload={"flags": {"num_threads": 32}}),
            fires=True,
        ),
        Example(
            name="a line of the script sets 32 threads",
            evidence=healthy_cpu(
                workload={
                    "flags": {"num_threads": 32},
                    "cpu_limits": CpuLimits(
                        allowed=8,
                        at_start=8,
                        setters=(
                            LimitSetter(
                                what="torch.set_num_threads", value="32", file="train.py", line=6, function="main"
                            ),
                        ),
                    ),
                }
            ),
            fires=True,
        ),
        Example(
            name="torch sees eight CPUs, a quota allows two",
            evidence=healthy_cpu(hardware={"cpu": {"quota_cpus": 2.0, "usable_cpus": 2.0}}),
            fires=True,
        ),
        Example(
            name="four ranks with eight threads each on eight CPUs",
            evidence=healthy_cpu(workload={"world_size": 4}),
            fires=True,
        ),
        Example(name="as many threads as CPUs", evidence=healthy_cpu(), fires=False),
        Example(
            name="eight threads, a quota of 7.5",
            evidence=healthy_cpu(hardware={"cpu": {"quota_cpus": 7.5, "usable_cpus": 7.5}}),
            fires=False,
        ),
        Example(
            name="32 threads beside an accelerator",
            evidence=healthy_cuda(workload={"flags": {"num_threads": 32}}),
            fires=False,
        ),
    ),
)

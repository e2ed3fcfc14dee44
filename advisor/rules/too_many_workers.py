"""More loader workers than there are CPUs to run them, at a cost."""

from __future__ import annotations

from ..types import Evidence, WhatIf
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, ceiling_of, lost_share, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader, what_if
from ._input import Waiting, restart_share, surplus_workers, threads_words, waiting, waiting_for
from ._read import cpus_for_this_rank, percent


def judge(evidence: Evidence) -> Judgement:
    loader = evidence.workload.train_loader
    wait = waiting(evidence)
    if loader is None or (wait is not None and wait.cause == "io"):
        return None
    cost, measured = _cost(evidence)
    threads, limit_them = threads_words(evidence)
    sensible = max(int(cpus_for_this_rank(evidence)), 1)
    return Hit(
        share=cost,
        severity=severity_of(cost) if cost >= WARNING_SHARE else "info",
        evidence=f"{loader.num_workers} workers share {cpus_for_this_rank(evidence):g} usable CPUs; "
        + (
            f"waiting for them, starting them and sharing CPUs with them costs {percent(cost)} of the loop."
            if cost > 0
            else "they cost memory and start-up, but no time in the loop."
        )
        + threads,
        advice=f"Use at most {sensible} workers; if the loop still waits for them, reduce the work per sample."
        + limit_them,
        ceiling=ceiling_of(measured, cost, low=1.0),
    )


def _cost(evidence: Evidence) -> tuple[float, WhatIf | None]:
    """Return the share of the loop that the workers cost, and the what-if if it is the basis.

    If the update waits, the cost is that wait; otherwise it is the update's gain when the workers pause (on a CPU they
    compete with it). The surplus workers' part of each restart comes on top.
    """
    found = waiting_for(evidence, "workers")
    restart = (restart_share(evidence) or 0.0) * surplus_workers(evidence)
    measured = evidence.what_ifs.get("no_data_wait")
    waited = found.share if isinstance(found, Waiting) else 0.0
    competing = 0.0 if measured is None or evidence.on_accelerator else lost_share(measured.low)
    if max(competing, waited) > restart and measured is not None and measured.low > 1:
        return max(waited, competing), measured
    return waited + restart, None


_SIXTY_FOUR = {"loaders": (train_loader(num_workers=64, persistent_workers=False),)}
_STARVED = {"fetch_s": 0.5, "fetch_cpu_s": 0.12, "collate_s": 0.004, "workers": 64}

RULE = Rule(
    id="too_many_workers",
    title="more loader workers than CPUs to run them",
    headline="runs more loader workers than it has CPUs for",
    looks_at="Workers compared with the CPUs that this rank may use (affinity and quota), the wait for data, the "
    "what-if no_data_wait, and the cost of restarts. Silent if workers wait for reads: then more workers "
    "than CPUs are appropriate.",
    thresholds=("TOO_MANY_RATIO", "SEVERAL_THREADS", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="SageMaker Debugger compares workers with cores (70–200%); torch only compares with the number of CPUs, "
    "and ignores quotas.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    knobs=("num_workers", "worker_threads", "persistent_workers"),
    applies=lambda evidence: surplus_workers(evidence) > 0,
    judge=judge,
    examples=(
        Example(
            name="64 workers on 8 CPUs, still waited for",
            evidence=healthy_cpu(
                workload=_SIXTY_FOUR,
                phases={"data_wait": 0.3},
                loader=_STARVED,
                system={"tree_cpus": 8.0},
                what_ifs=what_if("no_data_wait", 1.5),
            ),
            fires=True,
        ),
        Example(
            name="32 workers on 8 CPUs, each of which computes with eight threads",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(num_workers=32),), "facts": {"fetching_threads": 7.6}},
                phases={"data_wait": 0.3},
                loader={"fetch_s": 0.5, "fetch_cpu_s": 0.45, "collate_s": 0.004, "workers": 32},
                system={"tree_cpus": 8.0},
                what_ifs=what_if("no_data_wait", 1.5),
            ),
            fires=True,
        ),
        Example(
            name="64 workers that take long to start in every epoch",
            evidence=healthy_cuda(workload=_SIXTY_FOUR, restarts={"share": 0.3}),
            fires=True,
        ),
        Example(
            name="a quota of 2 CPUs on a machine of 8, 16 workers that slow the update down",
            evidence=healthy_cpu(
                hardware={"cpu": {"quota_cpus": 2.0, "usable_cpus": 2.0}},
                workload={"loaders": (train_loader(num_workers=16),), "flags": {"num_threads": 2}},
                what_ifs=what_if("no_data_wait", 1.4),
                system={"tree_cpus": 2.0, "main_cpus": 1.2},
            ),
            fires=True,
        ),
        Example(
            name="12 workers on 8 CPUs",
            evidence=healthy_cpu(workload={"loaders": (train_loader(num_workers=12),)}),
            fires=False,
        ),
        Example(
            name="64 workers that wait for the network",
            evidence=healthy_cuda(
                workload=_SIXTY_FOUR,
                phases={"data_wait": 0.3},
                loader={"fetch_s": 0.5, "fetch_cpu_s": 0.02, "workers": 64},
                what_ifs=what_if("no_data_wait", 1.4),
            ),
            fires=False,
        ),
    ),
)

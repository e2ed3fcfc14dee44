"""Several ranks were started, and each trains a model of its own: no process group connects them."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda
from ._rank_examples import on_cpus, ranks

LEAST_RANKS = 2
"""Ranks of a launcher from which they must share a model: one alone needs no process group."""


def judge(evidence: Evidence) -> Judgement:
    started = len(evidence.ranks)
    if started < LEAST_RANKS or evidence.workload.world_size > 1:
        return None
    return Hit(
        severity="critical",
        evidence=f"{started} ranks run, and none of them made a process group: each trains alone, on a model of its "
        "own, and shares the machine with the others.",
        advice="Call `torch.distributed.init_process_group()`, put the model into `DistributedDataParallel` and the "
        "data behind a `DistributedSampler` (with accelerate: `Accelerator.prepare`). Or start one process, which "
        "trains the same model with all CPUs.",
    )


RULE = Rule(
    id="ranks_apart",
    title="ranks that train without each other",
    headline="trains a separate model on every rank",
    looks_at="The ranks that the launcher started, and whether they made a process group.",
    thresholds=("LEAST_RANKS",),
    source="Reports of launchers that start copies of a script for one process (TorchDR#238).",
    url="https://docs.pytorch.org/tutorials/intermediate/ddp_tutorial.html",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="two ranks without a process group",
            evidence=healthy_cpu(ranks=ranks((0.1, 0.1))),
            fires=True,
        ),
        Example(
            name="four of them on accelerators",
            evidence=healthy_cuda(ranks=ranks((0.1, 0.1, 0.1, 0.1))),
            fires=True,
        ),
        Example(name="two ranks of one group", evidence=on_cpus(), fires=False),
        Example(name="one process", evidence=healthy_cpu(), fires=False),
    ),
)

"""The script recomputes activations in the backward pass, although there is memory enough to keep them."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, Undecided
from ._examples import GIB, healthy_cpu, healthy_cuda, measured_fix
from ._read import limit_bytes, percent, phase_share, size

MAX_USED = 0.5
"""Fraction of an accelerator's memory below which keeping activations is worth a trial; what does not fit is told."""
KEPT = 17.0
"""Activations of a transformer's block over its input, which a checkpoint keeps: 34 bytes an element against 2."""
MAX_OF_HOST = 0.5
"""Fraction of the host's memory below which they may be kept on a CPU, where too much ends in the swap."""
SAVES = 0.8
"""Part of the forward's time that is promised: recomputation stops at the last activation that is needed."""


def judge(evidence: Evidence) -> Judgement:
    peak, limit = evidence.memory.peak_bytes, limit_bytes(evidence)
    if peak is None or not limit:
        return Undecided(why="the peak of the memory is not known")
    if peak + _more(evidence) > _most(evidence) * limit:
        return None
    share = phase_share(evidence, "forward")
    saved = SAVES * share
    if saved < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity="info",  # until it is tried: nothing else says how much of the forward is checkpointed
        evidence=f"Activations are computed again in the backward pass, which costs up to as much as the forward pass "
        f"({percent(share)} of the loop), and at its peak training uses {size(peak)} of {size(limit)} "
        f"({percent(peak / limit)}).",
        advice="Keep the activations: call the blocks without `torch.utils.checkpoint` (in transformers "
        "`gradient_checkpointing=False`), or checkpoint only some of them.",
        ceiling=Ceiling.from_share(saved, high=share),
        fixed_by="activation_checkpointing",
    )


def _more(evidence: Evidence) -> float:
    """Return the bytes that kept activations may need more; an accelerator's trial finds that out."""
    return 0.0 if evidence.on_accelerator else KEPT * (evidence.memory.activations_bytes or 0)


def _most(evidence: Evidence) -> float:
    return MAX_USED if evidence.on_accelerator else MAX_OF_HOST


_RECOMPUTES = {"facts": {"checkpointing": True}}

RULE = Rule(
    id="checkpointing_unneeded",
    title="activations are recomputed though memory is free",
    headline="recomputes activations that its memory could hold",
    looks_at="Whether the script calls `torch.utils.checkpoint`, or its model says so; the peak of the memory, on a "
    "CPU with the activations that would be kept; the share of the forward pass.",
    thresholds=("MAX_USED", "KEPT", "MAX_OF_HOST", "SAVES", "WARNING_SHARE"),
    source="Recomputing costs one forward pass more: Chen et al., arXiv 1604.06174; about a third of the compute.",
    url="https://docs.pytorch.org/docs/stable/checkpoint.html",
    applies=lambda evidence: evidence.workload.facts.checkpointing,
    judge=judge,
    knobs=("activation_checkpointing",),
    examples=(
        Example(
            name="9 of 80 GiB",
            evidence=healthy_cuda(workload=_RECOMPUTES, memory={"peak_bytes": 9 * GIB}),
            fires=True,
        ),
        Example(
            name="a small model on a CPU",
            evidence=healthy_cpu(workload=_RECOMPUTES, memory={"activations_bytes": GIB // 8}),
            fires=True,
        ),
        Example(name="62 of 80 GiB", evidence=healthy_cuda(workload=_RECOMPUTES), fires=False),
        Example(
            name="activations of 2 GiB that would become 34 GiB, on a CPU",
            evidence=healthy_cpu(workload=_RECOMPUTES, memory={"activations_bytes": 2 * GIB}),
            fires=False,
        ),
        Example(
            name="a peak that is not known",
            evidence=healthy_cuda(workload=_RECOMPUTES, memory={"peak_bytes": None}),
            fires="abstains",
        ),
        Example(
            name="a small part is checkpointed, and keeping its activations gave nothing",
            evidence=healthy_cpu(
                workload=_RECOMPUTES,
                memory={"activations_bytes": GIB // 8},
                fixes=(measured_fix("activation_checkpointing", False, 1.0, 0.99, 1.01),),
            ),
            fires=False,
        ),
        Example(name="no checkpoints", evidence=healthy_cpu(), fires=False),
    ),
)

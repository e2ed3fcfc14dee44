"""The optimizer's step takes a large part of the update."""

from __future__ import annotations

from ..types import Evidence, OptimizerFacts
from ._base import CRITICAL_SHARE, Example, Hit, Judgement, Rule, Undecided, agrees, ceiling_of, gain_of, lost_share
from ._examples import healthy_cpu, healthy_cuda, optimizer, what_if
from ._measured_fix import gains
from ._read import percent, phase_share

MIN_OPTIMIZER_SHARE = 0.25
"""Share from which it is reported: Adam over all parameters takes 10 to 20% of healthy updates with small batches;
halving 25% is the first gain of 1.14."""
MANY_SHARE = 0.5
"""Share from which the optimizer is the training's main cost."""
REACHABLE_PART = 0.2
"""Part of the optimizer's time that a fused or multi-tensor form is expected to save: the step itself must stay."""


def judge(evidence: Evidence) -> Judgement:
    share = phase_share(evidence, "optimizer")
    if share < MIN_OPTIMIZER_SHARE:
        return None
    without = evidence.what_ifs.get("no_optimizer")
    if without is not None and without.low <= 1 and not agrees(without, share, evidence):
        return Undecided(
            why=f"the optimizer takes {percent(share)} of the loop, but without it the loop ran {without.low:.2f} "
            f"to {without.high:.2f} times as fast, which may be no gain",
            most_share=share,
        )
    gain = gain_of(without)
    lost = lost_share(gain.speedup) if gain is not None else share
    return Hit(
        share=share,
        severity="critical" if lost >= MANY_SHARE else "warning" if lost >= CRITICAL_SHARE / 2 else "info",
        evidence=_words(evidence, share),
        advice=_advice(evidence.workload.main_optimizer, evidence),
        ceiling=ceiling_of(gain, share, low=1 / (1 - REACHABLE_PART * min(lost, 0.99))),
        fixed_by="fused_optimizer" if _one_by_one(evidence) and gains(evidence, "fused_optimizer") else "",
    )


def _one_by_one(evidence: Evidence) -> bool:
    main = evidence.workload.main_optimizer
    return main is not None and main.foreach is False and not main.fused


def _words(evidence: Evidence, share: float) -> str:
    main = evidence.workload.main_optimizer
    said = f"The optimizer's step takes {percent(share)} of the loop"
    if main is not None:
        said += f" ({main.class_name}, {main.parameters:,} parameters in {main.tensors:,} tensors"
        said += ", tensor by tensor)" if main.foreach is False and not main.fused else ", fused)" if main.fused else ")"
    without = gain_of(evidence.what_ifs.get("no_optimizer"))
    if without is not None:
        said += f"; without it the loop ran {without.speedup:.2f} times as fast ({without.low:.2f}–{without.high:.2f})"
    return said + "."


def _advice(main: OptimizerFacts | None, evidence: Evidence) -> str:
    ways = []
    if main is not None and main.foreach is False and not main.fused:
        ways.append("pass `fused=True` or `foreach=True`: one call for all tensors replaces a loop over them")
    elif main is not None and main.fused is False:
        ways.append("pass `fused=True`: one pass over the memory replaces several")
    if any("Embedding" in name for found in evidence.workload.models for name in found.layers):
        ways.append("give a large embedding sparse gradients and an optimizer that updates only the rows used")
    ways.append("step less often for the same samples (larger batches or gradient accumulation)")
    return _sentence("; ".join(ways)) + "."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


RULE = Rule(
    id="optimizer_bound",
    title="the optimizer's step takes a large part of the update",
    headline="spends {share} of its time in the optimizer",
    looks_at="The share of the optimizer phase, the what-if no_optimizer, and how the main optimizer iterates over "
    "its tensors.",
    thresholds=("MIN_OPTIMIZER_SHARE", "MANY_SHARE", "REACHABLE_PART"),
    source="Based on a former torch profiler pattern for single-tensor optimizers; the what-if replaces that pattern.",
    url="https://docs.pytorch.org/docs/stable/optim.html",
    knobs=("fused_optimizer", "optimizer", "global_batch"),
    applies=lambda evidence: bool(evidence.workload.optimizers),
    judge=judge,
    examples=(
        Example(
            name="dense Adam over a large embedding, 70%",
            evidence=healthy_cpu(phases={"optimizer": 0.7}, what_ifs=what_if("no_optimizer", 3.1)),
            fires=True,
        ),
        Example(
            name="tensor by tensor on an accelerator, no what-if was run",
            evidence=healthy_cuda(
                phases={"optimizer": 0.35},
                what_ifs={"no_optimizer": None},
                workload={"optimizers": (optimizer(foreach=False, tensors=1200),)},
            ),
            fires=True,
        ),
        Example(
            name="Adam at 18%",
            evidence=healthy_cpu(phases={"optimizer": 0.18}, what_ifs=what_if("no_optimizer", 1.2)),
            fires=False,
        ),
        Example(name="Adam at 5% on an accelerator", evidence=healthy_cuda(), fires=False),
        Example(
            name="40% in the optimizer, but the what-if's interval contains no gain",
            evidence=healthy_cpu(phases={"optimizer": 0.4}, what_ifs=what_if("no_optimizer", 1.1, 0.9, 1.4)),
            fires="abstains",
        ),
    ),
)

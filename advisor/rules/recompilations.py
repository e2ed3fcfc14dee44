"""torch.compile compiles the same code anew, update after update."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._read import percent

MIN_RECOMPILES = 3
"""Recompilations in the counted updates, after the first ones: a shorter last batch compiles once, and a dimension that
torch treats as dynamic once more."""
LIMIT = 8
"""Number after which torch gives up and runs the function uncompiled (`torch._dynamo.config.recompile_limit`)."""


def judge(evidence: Evidence) -> Judgement:
    times, share = evidence.compute.recompiles, evidence.compute.recompile_fraction or 0.0
    if times is None or times < MIN_RECOMPILES or share < WARNING_SHARE:
        return None
    reason = evidence.compute.recompile_reason
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"torch recompiled code {times} times within {evidence.steps.updates} updates, which took "
        f"{percent(share)} of the loop{f' ({reason})' if reason else ''}. At the recompile limit ({LIMIT} by default) "
        "it warns and runs the function uncompiled; with `fullgraph=True` it fails.",
        advice="Batches of varying size need code for each size: remove `dynamic=False`, so that torch compiles once "
        "for all sizes, mark the dimension (`torch._dynamo.mark_dynamic`), or pad to a few lengths. "
        "`TORCH_LOGS=recompiles` names every cause.",
        ceiling=Ceiling.from_share(share),
    )


_EACH_LENGTH = {"recompiles": 5, "recompile_fraction": 0.9, "recompile_reason": "tensor 'ids' size mismatch at index 1"}

RULE = Rule(
    id="recompilations",
    title="torch.compile compiles again and again",
    headline="spends {share} of its time recompiling the same code",
    looks_at="The number and duration of compilations within the counted updates, and the last guard that failed, as "
    "recorded by Dynamo.",
    thresholds=("MIN_RECOMPILES", "LIMIT", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Reports of compiled loops that are slower than eager ones: pytorch#97783, #188150, #128071.",
    url="https://docs.pytorch.org/docs/stable/torch.compiler_troubleshooting.html",
    applies=lambda evidence: evidence.compute.recompiles is not None,
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="every length of a batch is compiled for",
            evidence=healthy_cpu(compute=_EACH_LENGTH, steps={"updates": 5, "steady": False}),
            fires=True,
        ),
        Example(
            name="many small functions, each for its own shapes",
            evidence=healthy_cuda(compute={"recompiles": 40, "recompile_fraction": 0.25}),
            fires=True,
        ),
        Example(
            name="the shorter last batch of an epoch",
            evidence=healthy_cuda(compute={"recompiles": 1, "recompile_fraction": 0.3}),
            fires=False,
        ),
        Example(
            name="small functions that compile in no time",
            evidence=healthy_cuda(compute={"recompiles": 4, "recompile_fraction": 0.02}),
            fires=False,
        ),
        Example(name="nothing is compiled", evidence=healthy_cpu(), fires=False),
    ),
)

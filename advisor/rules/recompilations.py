"""torch.compile compiles the same code anew, update after update."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, Recompiling
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._read import percent

MIN_RECOMPILES = 3
"""Recompilations in the counted updates, after the first ones: a shorter last batch compiles once, and a dimension that
torch treats as dynamic once more."""
MIN_OF_ONE = 5
"""Recompilations of one function from its first update on: training and evaluation, whole and last batches, and a
dimension that becomes dynamic make up to four."""
LIMIT = 8
"""Number after which torch gives up and runs the function uncompiled (`torch._dynamo.config.recompile_limit`)."""


def judge(evidence: Evidence) -> Judgement:
    found = _of_counted_updates(evidence) or _of_the_run(evidence)
    if found is None:
        return None
    words, share, reason = found
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"{words}{f' ({reason})' if reason else ''}. At the recompile limit ({LIMIT} by default) "
        "it warns and runs the function uncompiled; with `fullgraph=True` it fails.",
        advice="Batches of varying size need code for each size: remove `dynamic=False`, so that torch compiles once "
        "for all sizes, mark the dimension (`torch._dynamo.mark_dynamic`), or pad to a few lengths. "
        "`TORCH_LOGS=recompiles` names every cause.",
        ceiling=Ceiling.from_share(share),
    )


def _of_counted_updates(evidence: Evidence) -> tuple[str, float, str] | None:
    times, share = evidence.compute.recompiles, evidence.compute.recompile_fraction or 0.0
    if times is None or times < MIN_RECOMPILES or share < WARNING_SHARE:
        return None
    words = f"torch recompiled code {times} times within {evidence.steps.updates} updates, which took "
    return f"{words}{percent(share)} of the loop", share, evidence.compute.recompile_reason


def _of_the_run(evidence: Evidence) -> tuple[str, float, str] | None:
    """Describe what was recompiled outside of the counted updates: long compilations leave none to count."""
    found = evidence.workload.facts.recompiling
    if found is None or found.times < MIN_OF_ONE or found.elapsed_s <= 0:
        return None
    share = clamp(found.seconds / found.elapsed_s)
    if share < WARNING_SHARE:
        return None
    words = f"torch recompiled one function {found.times} times since the first update, which took "
    return f"{words}{percent(share)} of the time since then", share, found.reason


_EACH_LENGTH = {"recompiles": 5, "recompile_fraction": 0.9, "recompile_reason": "tensor 'ids' size mismatch at index 1"}
_OF_ONE = Recompiling(times=6, seconds=24.0, elapsed_s=30.0, reason="tensor 'ids' size mismatch at index 1")

RULE = Rule(
    id="recompilations",
    title="torch.compile compiles again and again",
    headline="spends {share} of its time recompiling the same code",
    looks_at="The number and duration of compilations within the counted updates, or else from the first update on, "
    "and the last guard that failed, as recorded by Dynamo.",
    thresholds=("MIN_RECOMPILES", "MIN_OF_ONE", "LIMIT", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Reports of compiled loops that are slower than eager ones: pytorch#97783, #188150, #128071.",
    url="https://docs.pytorch.org/docs/stable/torch.compiler_troubleshooting.html",
    applies=lambda evidence: bool(evidence.compute.recompiles or evidence.workload.facts.recompiling),
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
            name="compilations so long that hardly an update was counted",
            evidence=healthy_cpu(workload={"facts": {"recompiling": _OF_ONE}}, steps={"updates": 2, "steady": False}),
            fires=True,
        ),
        Example(
            name="training and evaluation, whole and last batches",
            evidence=healthy_cpu(workload={"facts": {"recompiling": replace(_OF_ONE, times=4)}}),
            fires=False,
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

"""Many small layers of one form are called one after another, though none of them needs another's result."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, ParallelLayers
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, device_busy, operator_places, operator_share, percent, traced_operators

WITH_BACKWARD = 3.0
"""Ratio of what such layers cost to the time of their operators in the forward: the backward runs two for each."""
SAVES = 0.7
"""Part of it that one stacked operator saves: the numbers still have to be multiplied."""
SAVES_LEAST = 0.3
"""The same at the low end: a stacked product of tiny matrices runs less well than a large one."""
BESIDE = 1.6
"""Ratio, at most, of what goes away with the layers to their own operators, forward and backward: each has a slice of
the input before it, an activation behind it, parameters of its own in the optimizer, and Python around it."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or not used.parallel:
        return None
    # What a busy accelerator computes hides the launches: only those that it waits for cost anything.
    idle = 1 - (device_busy(evidence) or 0.0) if evidence.on_accelerator else 1.0
    lines = [
        (one, clamp(idle * WITH_BACKWARD * operator_share(evidence, used, one.seconds_per_update)))
        for one in used.parallel
    ]
    share = min(sum(each for _one, each in lines), MOST_SHARE)
    if share < WARNING_SHARE:
        return None
    most, _share = max(lines, key=lambda each: each[1])
    beside = f", and {len(lines) - 1} more such lines" if len(lines) > 1 else ""
    return Hit(
        share=share,
        severity=severity_of(SAVES * share),
        evidence=f"Line {most.line} calls {most.layers} small layers of the same form one after another{beside}, and "
        f"none of them reads another's result: {percent(share)} of the loop, forward and backward.",
        advice="Stack their weights in one tensor, and call one operator for all: `torch.baddbmm(bias, inputs, "
        "weights)` for linear layers, one `nn.Embedding` with an offset for each column in place of a table each, or "
        "`torch.func.stack_module_state` with `torch.vmap` for whole modules.",
        where=operator_places(lines),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=min(BESIDE * share, MOST_SHARE)),
    )


def _parallel(seconds: float, layers: int = 160) -> dict[str, OperatorUse]:
    """Return operators of which those of so many layers at each of two lines take this time in an update."""
    first = ParallelLayers(
        file="model.py",
        line=57,
        function="forward",
        layers=layers,
        calls_per_update=float(layers),
        seconds_per_update=seconds / 2,
    )
    second = ParallelLayers(
        file="model.py",
        line=58,
        function="forward",
        layers=layers,
        calls_per_update=float(layers),
        seconds_per_update=seconds / 2,
    )
    return operators(parallel=(first, second))


RULE = Rule(
    id="layers_one_by_one",
    title="many small layers, one after another",
    headline="calls many small layers one by one that could be one operator",
    looks_at="Linear layers and embeddings of traced forwards: at least 16 of one form from one line, short ones, none "
    "of whose inputs follows from another's result; three times the time of their operators, with the backward. On an "
    "accelerator, the part of it for which the device is idle.",
    thresholds=("WITH_BACKWARD", "SAVES", "SAVES_LEAST", "BESIDE", "MOST_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch#36591: many small linear layers in a `ModuleList`, against one batched product.",
    url="https://docs.pytorch.org/tutorials/intermediate/ensembling.html",
    judge=judge,
    examples=(
        Example(name="an encoder for each of 160 columns", evidence=healthy_cpu(trace=_parallel(0.012)), fires=True),
        Example(name="a tenth of the update", evidence=healthy_cpu(trace=_parallel(0.004)), fires=True),
        Example(name="one in thirty", evidence=healthy_cpu(trace=_parallel(0.001)), fires=False),
        Example(name="a busy accelerator hides them", evidence=healthy_cuda(trace=_parallel(0.004)), fires=False),
        Example(name="nothing of the kind", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

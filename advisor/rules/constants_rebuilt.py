"""Each forward builds tensors that are the same in every update: masks, tables of positions."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, RebuiltConstant
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, moved_share, operator_places, percent, traced_operators

SAVES = 0.9
"""Part of the operators' time that is promised: what was built must still be looked up, and cut to a batch's length."""
SAVES_LEAST = 0.4
"""The same at the low end: a tensor that follows from a batch's length has to be built for the longest."""
UNSEEN = 1.6
"""Ratio, at most, of what such tensors cost to the time of the operators that build them: their memory is taken and
given back in each update, and Python calls the operators."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or not used.rebuilt:
        return None
    lines = [(one, moved_share(evidence, used, one.seconds_per_update, one.bytes_per_update)) for one in used.rebuilt]
    share = sum(each for _one, each in lines)
    if SAVES * share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(SAVES * share),
        evidence=f"{percent(share)} of the loop builds tensors that follow from sizes, numbers and buffers alone, and "
        "are the same in every update.",
        advice="Build them once: in `__init__`, as a buffer (`register_buffer(…, persistent=False)`) for the longest "
        "input, cut to the length of the batch; or in a function with `functools.lru_cache` that takes the sizes and "
        "the device. Layers can share one. A causal mask need not be built at all: `scaled_dot_product_attention(…, "
        "is_causal=True)`.",
        where=operator_places(lines),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=min(UNSEEN * share, MOST_SHARE)),
    )


def _rebuilt(seconds: float, moved_bytes: int = 10**9) -> dict[str, OperatorUse]:
    """Return operators of which these build a mask and a table, the mask in two thirds of the time."""
    mask = RebuiltConstant(
        file="model.py",
        line=24,
        function="forward",
        seconds_per_update=seconds * 2 / 3,
        bytes_per_update=moved_bytes * 2 // 3,
    )
    table = RebuiltConstant(
        file="model.py",
        line=12,
        function="rotary",
        seconds_per_update=seconds / 3,
        bytes_per_update=moved_bytes // 3,
    )
    return operators(rebuilt=(mask, table))


RULE = Rule(
    id="constants_rebuilt",
    title="constant tensors built in every update",
    headline="builds the same masks or tables in every update",
    looks_at="Operators of traced forwards that read no parameter, no batch and no random number, at lines that run "
    "them in each update with the same fractional numbers; their time on a CPU, on an accelerator the bytes they move, "
    "at the speed of its memory.",
    thresholds=("SAVES", "SAVES_LEAST", "UNSEEN", "MOST_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Megatron-LM#1646 and transformers#19991: rotary tables computed in every forward, 15% of the time.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_buffer",
    judge=judge,
    examples=(
        Example(
            name="a mask and a table, a fifth of the update", evidence=healthy_cpu(trace=_rebuilt(0.02)), fires=True
        ),
        Example(name="half of it", evidence=healthy_cpu(trace=_rebuilt(0.045)), fires=True),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_rebuilt(0.001, 400 * 10**9)),
            fires=True,
        ),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_rebuilt(0.004)), fires=False),
        Example(name="nothing of the kind", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

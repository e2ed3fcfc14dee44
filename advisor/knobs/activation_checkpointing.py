"""Recompute the activations of the model's blocks in the backward pass instead of storing them.

This costs about a third more compute and frees most of the activation memory. It pays where memory limits the batch,
together with a larger batch. Random numbers stay the same, and running averages are updated once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, key, noticing, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload


def _wrong(value: Any) -> str | None:
    return None if value is True else f"{value!r} is not true, its only value: remove it to keep the script unchanged"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    if workload.facts.checkpointing:
        return Values(why_closed="the script already checkpoints activations")
    for model in workload.models:
        if model.compiled:
            return Values(why_closed=f"{model.class_name} is compiled, and compilation ignores wrappers of its blocks")
        if model.data_parallel:
            return Values(why_closed=f"{model.class_name} is copied to several devices (nn.DataParallel)")
    blocks = workload.facts.repeated_blocks
    if not blocks:
        return Values(
            why_closed="no repeated blocks hold half of the model's parameters: there is nothing to recompute"
        )
    return Values(values=(True,), why=f"the model has {blocks}")


def _effect(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` or `numerics`. The second run repeats the first bit for bit if the same kernels are chosen for it.
    Blocks of transformers are called without the cache they would fill, which gives their products other strides."""
    fixed = workload.device == "cpu" or workload.flags.deterministic
    plain = workload.flags.autocast_dtype is None and "transformers" not in workload.facts.packages
    return "exact" if fixed and plain else "numerics"


CHECKPOINTED = '''

def checkpoint_blocks(model):
    """Blocks that repeat are computed again in the backward, instead of keeping what they computed."""
    for parent in list(model.modules()):
        blocks = list(parent.children())
        repeated = len(blocks) > 1 and len({type(block) for block in blocks}) == 1
        if repeated and isinstance(parent, (torch.nn.ModuleList, torch.nn.Sequential)):
            for block in blocks:
                block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
'''
"""Source of the function that does it in plain torch."""


def _in_python(_value: Any, _training: Any) -> Mapping[str, Any]:
    return {
        "imports": ["import functools", "from torch.utils.checkpoint import checkpoint"],
        "prepare": ["checkpoint_blocks(model)"],
        "code": [CHECKPOINTED],
    }


KNOB = Knob(
    id="activation_checkpointing",
    title="activations recomputed in the backward pass",
    values=_values,
    example=True,
    effect=_effect,
    apply=lambda controls, _value: controls.checkpointing.set(),
    restore=lambda controls: controls.checkpointing.restore(),
    wrong=_wrong,
    hooks=(),
    set_on=("model", "forward"),
    by_hand="call the repeated blocks with torch.utils.checkpoint.checkpoint(block, …, use_reentrant=False)",
    chosen_for=("device",),
    fails_in="forward",
    suspicion=3,
    noticed=noticing("Memory", "activations are recomputed in the backward pass instead of stored"),
    formats={
        "deepspeed": unable("the section of that name only configures a function that the model must call"),
        "python": _in_python,
        "transformers": key("activation_checkpointing"),
    },
    changes="Activations take less memory, and an update about a third more compute; this pays only with a larger "
    "batch.",
    described=lambda workload, _value: replace(workload, facts=replace(workload.facts, checkpointing=True)),
)

"""Recompute the activations of the model's blocks in the backward pass instead of storing them, or store them.

Recomputing costs about a third more compute and frees most of the activation memory. It pays where memory limits the
batch, together with a larger batch. Random numbers stay the same, and running averages are updated once. `false` is for
scripts that recompute although there is memory enough: their calls of `torch.utils.checkpoint` keep the activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import Knob, Unable, Values, key, noticing, truth, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(_hardware: Hardware, workload: Workload) -> Values:
    for model in workload.models:
        if model.compiled:
            return Values(why_closed=f"{model.class_name} is compiled, and compilation ignores wrappers of its blocks")
        if model.data_parallel:
            return Values(why_closed=f"{model.class_name} is copied to several devices (nn.DataParallel)")
    if workload.facts.checkpointing:
        return Values(values=(False,), why="the script recomputes activations itself")
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


def _apply(controls: Controls, value: Any) -> None:
    if value:
        controls.checkpointing.set()
    else:
        controls.script_checkpoints.skip()


def _restore(controls: Controls) -> None:
    controls.checkpointing.restore()
    controls.script_checkpoints.restore()


def _in_python(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    if not value:
        return Unable("the calls of torch.utils.checkpoint stand in the model", BY_HAND_OF[False])
    return {
        "imports": ["import functools", "from torch.utils.checkpoint import checkpoint"],
        "prepare": ["checkpoint_blocks(model)"],
        "code": [CHECKPOINTED],
    }


BY_HAND_OF = {
    False: "call the blocks without torch.utils.checkpoint (gradient_checkpointing_disable() in transformers)"
}

KNOB = Knob(
    id="activation_checkpointing",
    title="activations recomputed in the backward pass",
    values=_values,
    example=True,
    effect=_effect,
    apply=_apply,
    restore=_restore,
    wrong=truth,
    hooks=(),
    set_on=("model", "forward"),
    by_hand="call the repeated blocks with torch.utils.checkpoint.checkpoint(block, …, use_reentrant=False)",
    by_hand_of=BY_HAND_OF,
    chosen_for=("device",),
    fails_in="forward",
    suspicion=3,
    noticed=noticing("Memory", "activations are recomputed in the backward pass instead of stored"),
    formats={
        "deepspeed": unable("the section of that name only configures a function that the model must call"),
        "python": _in_python,
        "transformers": key("activation_checkpointing"),
    },
    changes="Recomputed activations take less memory, and an update about a third more compute; this pays only with a "
    "larger batch.",
    described=lambda workload, value: replace(workload, facts=replace(workload.facts, checkpointing=value)),
)

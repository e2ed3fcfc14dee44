"""Activations of the model's blocks are not kept for the backward pass but computed again there.

That costs about a third of the compute and frees most of the memory, so it pays where memory is what limits the batch:
together with a larger one. Random numbers are drawn as before, running averages are updated once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, key, noticing, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _wrong(value: Any) -> str | None:
    return None if value is True else f"{value!r} is not true, its only value: leave it out for the script as written"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    if workload.facts.checkpointing:
        return Values(why_closed="the script checkpoints activations itself")
    for model in workload.models:
        if model.compiled:
            return Values(why_closed=f"{model.class_name} is compiled, which passes over what stands before its blocks")
        if model.data_parallel:
            return Values(why_closed=f"{model.class_name} is copied to several devices (nn.DataParallel)")
    blocks = workload.facts.repeated_blocks
    if not blocks:
        return Values(why_closed="no repeated blocks own half of the model's parameters: there is nothing to run again")
    return Values(values=(True,), why=f"the model has {blocks}")


def _tier(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` or `numerics`. The second run repeats the first bit for bit if the same kernels are chosen for it.
    Blocks of transformers are called without the cache they would fill, which gives their products other strides."""
    fixed = workload.device == "cpu" or workload.flags.deterministic
    plain = workload.flags.autocast_dtype is None and "transformers" not in workload.facts.packages
    return "exact" if fixed and plain else "numerics"


def _apply(controls: Controls, _value: Any) -> None:
    controls.checkpointing.set()


def _restore(controls: Controls) -> None:
    controls.checkpointing.restore()


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
    title="activations computed again in the backward pass",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    wrong=_wrong,
    hooks=(),
    set_on=("model", "forward"),
    by_hand="call the repeated blocks through torch.utils.checkpoint.checkpoint(block, …, use_reentrant=False)",
    chosen_for=("device",),
    fails_in="forward",
    suspicion=3,
    noticed=noticing("Memory", "activations are computed again in backward instead of being kept"),
    formats={
        "deepspeed": unable("the section of that name only configures a function that the model has to call"),
        "python": _in_python,
        "transformers": key("activation_checkpointing"),
    },
    changes="Less memory for activations, and about a third more compute; it pays with a larger batch only.",
)

"""Weight decay of the optimizer.

Groups without decay, such as those of biases and norms, stay without where other groups have some; these keep their
ratios. AdamW shrinks the weights apart from the gradient; SGD and Adam add the decay to it, so that their best values
are not those of AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._base import NO_OPTIMIZER, Knob, PlainObjects, Values, always, key
from ._optimizer_section import in_deepspeed, in_lightning

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

VALUES = (0.01, 0.1)
NO_PLACE = "{} has no weight decay"
WITHOUT = ("LBFGS", "SparseAdam", "Rprop")
"""Optimizers of torch without one."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    if optimizer.class_name in WITHOUT:
        return Values(why_closed=NO_PLACE.format(optimizer.class_name))
    return Values(values=VALUES, why="usual values")


def wrong(value: Any) -> str | None:
    """Check a value: only numbers from 0 to 10."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 10:
        return None
    return f"{value!r} is not a number from 0 to 10"


def _entries(group: dict[str, Any], groups: Sequence[dict[str, Any]], value: float) -> dict[str, Any] | None:
    """Return the decay of one of an optimizer's groups: in proportion to the strongest, or `value` if all have none."""
    own = group.get("weight_decay")
    if not isinstance(own, (int, float)):
        return None
    strongest = max((each.get("weight_decay") or 0.0 for each in groups), default=0.0)
    return {"weight_decay": value * own / strongest if strongest else value}


def _apply(controls: Controls, value: Any) -> None:
    def change(group: dict[str, Any], groups: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
        return _entries(group, groups, float(value))

    controls.optimizer_values.set("weight_decay", change, NO_PLACE)


def _plain(objects: PlainObjects, value: Any) -> str | None:
    optimizer = objects.optimizer
    if optimizer is None:
        return NO_OPTIMIZER
    groups = optimizer.param_groups
    found = [_entries(group, groups, float(value)) for group in groups]
    for group, changed in zip(groups, found):
        group.update(changed or {})
    return None if any(found) else NO_PLACE.format(type(optimizer).__name__)


KNOB = Knob(
    id="weight_decay",
    title="weight decay of the optimizer",
    values=_values,
    example=0.02,
    effect=always("training"),
    apply=_apply,
    restore=lambda controls: controls.optimizer_values.restore("weight_decay"),
    wrong=wrong,
    judged_by_loss=True,
    keeps_pace=True,
    by_hand="create the optimizer with weight_decay={value}",
    plain=_plain,
    formats={
        "deepspeed": lambda value, training: in_deepspeed({"weight_decay": value}, training),
        "lightning": lambda value, training: in_lightning({"weight_decay": value}, training),
        "python": lambda value, _training: {"optimizer": {"weight_decay": value}},
        "transformers": key("weight_decay"),
    },
    changes="Training changes: weights are drawn to zero more or less strongly.",
    hooks=(),
    set_on=("optimizer",),
)

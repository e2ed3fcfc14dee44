"""Another optimizer in place of the script's: decoupled decay for Adam, Muon for hidden matrices.

SGD gets its momentum by the knob `momentum`. Muon keeps the script's optimizer for all but the hidden matrices, and its
learning rate; its own momentum is not part of the script's checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._base import NO_OPTIMIZER, Form, Knob, PlainObjects, Unable, Values, always, one_of
from ._optimizer_section import in_deepspeed, in_lightning

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

ADAMW, MUON = "adamw", "muon"
LIKE_ADAM = ("Adam", "AdamW")
"""Optimizers whose rates suit Muon's steps, too."""
FIRST_MUON = (2, 9)
"""First version of torch that has it."""
LEAST_LINEAR = 3
"""Linear layers from which some lie between hidden layers."""
DECOUPLED = "decoupled_weight_decay"


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    if optimizer.class_name not in LIKE_ADAM:
        return Values(why_closed=f"the rates of {optimizer.class_name} suit no other optimizer")
    decay = (ADAMW,) if optimizer.class_name == "Adam" else ()
    linear = sum(model.layers.get("Linear", 0) for model in workload.models)
    torch = re.match(r"(\d+)\.(\d+)", workload.facts.packages.get("torch", ""))
    has_muon = torch is not None and (int(torch[1]), int(torch[2])) >= FIRST_MUON
    muon = (MUON,) if linear >= LEAST_LINEAR and has_muon and not workload.facts.closures else ()
    if not decay and not muon:
        return Values(why_closed=f"the model has {linear} linear layers, or this torch no Muon")
    return Values(values=(*muon, *decay), why=f"the script's optimizer is {optimizer.class_name}")


def _entries(group: dict[str, Any], _groups: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the entry that makes Adam's group one of AdamW; None if its decay is that of AdamW, or if it has none."""
    if not group.get("weight_decay") or group.get(DECOUPLED) is not False:
        return None
    return {DECOUPLED: True}


def _apply(controls: Controls, value: Any) -> None:
    _restore(controls)
    if value == MUON:
        controls.hidden_muon.set()
    else:
        controls.optimizer_values.set(KNOB.id, _entries, "{} has no weight decay that could be decoupled")


def _restore(controls: Controls) -> None:
    controls.hidden_muon.restore()
    controls.optimizer_values.restore(KNOB.id)


def _plain(objects: PlainObjects, value: Any) -> str | None:
    if value == MUON:
        return "create torch.optim.Muon for the hidden matrices, or use advisor.apply()"
    if objects.optimizer is None:
        return NO_OPTIMIZER
    for group in objects.optimizer.param_groups:
        group.update(_entries(group, ()) or {})
    return None


def _of_adamw(value: Any, section: Form, training: Any) -> Mapping[str, Any] | Unable:
    return section({}, training) if value == ADAMW else Unable("a section holds one optimizer, and Muon needs another")


def _in_transformers(value: Any, _training: Any) -> Mapping[str, Any] | Unable:
    return {"optim": "adamw_torch"} if value == ADAMW else Unable("the Trainer has no optimizer for hidden matrices")


KNOB = Knob(
    id="optimizer",
    title="kind of the optimizer",
    values=_values,
    example=MUON,
    effect=always("training"),
    apply=_apply,
    restore=_restore,
    wrong=one_of(ADAMW, MUON),
    judged_by_loss=True,
    after_first_update=True,
    by_hand="create torch.optim.{value}",
    by_hand_of={
        ADAMW: "create torch.optim.AdamW in place of Adam",
        MUON: 'create torch.optim.Muon(hidden_matrices, adjust_lr_fn="match_rms_adamw") beside the optimizer, which '
        "keeps the other parameters",
    },
    makes={ADAMW: "AdamW", MUON: None},
    chosen_for=("torch",),
    plain=_plain,
    formats={
        "deepspeed": lambda value, training: _of_adamw(value, in_deepspeed, training),
        "lightning": lambda value, training: _of_adamw(value, in_lightning, training),
        "transformers": _in_transformers,
    },
    changes="Training changes. With Muon, checkpoints hold the script's optimizer only: a resumed training begins with "
    "fresh momentum for the hidden matrices.",
    hooks=("steps",),
)

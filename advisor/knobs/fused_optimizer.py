"""Run the optimizer step in one kernel (`fused`) or in one call for all tensors (`foreach`), not tensor by tensor."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._base import NO_OPTIMIZER, Knob, PlainObjects, Unable, Values, one_of, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload

FORMS = ("fused", "foreach")


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    name = optimizer.class_name
    if optimizer.fused is None and optimizer.foreach is None:
        return Values(why_closed=f"{name} has neither a fused nor a foreach form")
    if optimizer.fused:
        return Values(why_closed=f"{name} is already fused")
    values = [form for form in FORMS if getattr(optimizer, form) is False]
    if workload.device != "cpu":
        values = values[:1]  # one kernel is never slower there than a call for each operation
    if not values:
        return Values(why_closed=f"{name} has no fused form, and already updates all tensors in one call (foreach)")
    now = "in one call" if optimizer.foreach else "one by one"
    return Values(values=tuple(values), why=f"{name} updates {optimizer.tensors} tensors {now}")


def _effect(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` or `numerics`: foreach equals the loop over tensors bit for bit; fused rounds differently."""
    optimizer = workload.main_optimizer
    return "exact" if optimizer is not None and optimizer.fused is None else "numerics"


def _plain(objects: PlainObjects, form: Any) -> str | None:
    """Set `fused` or `foreach` on all groups as the constructor would."""
    optimizer = objects.optimizer
    if optimizer is None:
        return NO_OPTIMIZER
    name = type(optimizer).__name__
    if form not in inspect.signature(type(optimizer).__init__).parameters:
        return f"{name} has no {form} form"
    if optimizer.state:
        return f"{name} has already taken steps: apply the settings before the first one"
    wrong = [group for group in optimizer.param_groups if group.get("differentiable")]
    if wrong and form == "fused":
        return f"{name} is differentiable, and its fused form is not"
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = form == "fused", form == "foreach"
    for key in ("fused", "foreach"):
        optimizer.defaults[key] = form == key  # for groups added later
    if form == "fused":
        optimizer._step_supports_amp_scaling = True
        optimizer._need_device_dtype_check_for_fused = True
    return None


def _in_transformers(value: Any, training: Any) -> Mapping[str, Any] | Unable:
    if value != "fused":
        return Unable()
    if training.optimizer != "AdamW":
        return Unable(f"optim knows only fused AdamW; the script's optimizer is {training.optimizer or 'unknown'}")
    return {"optim": "adamw_torch_fused"}


def _described(workload: Workload, form: Any) -> Workload:
    optimizers = tuple(
        replace(one, fused=form == "fused", foreach=form == "foreach") if one.main else one
        for one in workload.optimizers
    )
    return replace(workload, optimizers=optimizers)


KNOB = Knob(
    id="fused_optimizer",
    title="implementation of the optimizer step",
    values=_values,
    example="fused",
    effect=_effect,
    grows_with=("precision", "compile"),  # the step took 13% of an update, and a third of what bf16 left of it
    apply=lambda controls, value: controls.optimizer_form.set(value),
    restore=lambda controls: controls.optimizer_form.restore(),
    tried_unprompted=3,
    usual_on_accelerator=True,
    shortens_computing=True,
    wrong=one_of(*FORMS),
    after_first_update=True,
    by_hand="create the optimizer with {value}=True",
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=5,
    plain=_plain,
    formats={
        "deepspeed": unable(
            "the section optimizer needs the script's learning rate, and selects DeepSpeed's own optimizers"
        ),
        "lightning": unable("configure_optimizers() creates the optimizer"),
        "python": lambda value, _training: {"optimizer": {value: True}},
        "transformers": _in_transformers,
    },
    changes="With fused, losses differ in their last digits; with foreach they do not, and the step takes more memory.",
    hooks=(),
    set_on=("optimizer",),
    described=_described,
)

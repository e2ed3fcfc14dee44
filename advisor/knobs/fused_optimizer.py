"""Run the optimizer step in one kernel (`fused`) or in one call for all tensors (`foreach`), not tensor by tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

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
    if not values:
        return Values(why_closed=f"{name} has no fused form, and already updates all tensors in one call (foreach)")
    now = "in one call" if optimizer.foreach else "one by one"
    return Values(values=tuple(values), why=f"{name} updates {optimizer.tensors} tensors {now}")


def _tier(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` or `numerics`: foreach equals the loop over tensors bit for bit; fused rounds differently."""
    optimizer = workload.main_optimizer
    return "exact" if optimizer is not None and optimizer.fused is None else "numerics"


def _apply(controls: Controls, value: Any) -> None:
    controls.optimizer_form.set(value)


def _restore(controls: Controls) -> None:
    controls.optimizer_form.restore()


def _wrong(value: Any) -> str | None:
    return None if value in FORMS else f"{value!r} is none of {', '.join(FORMS)}"


KNOB = Knob(
    id="fused_optimizer",
    title="implementation of the optimizer step",
    scope="live",
    values=_values,
    tier=_tier,
    grows_with=("precision", "compile"),  # the step took 13% of an update, and a third of what bf16 left of it
    apply=_apply,
    restore=_restore,
    usual_on_accelerator=True,
    shortens_computing=True,
    wrong=_wrong,
    after_first_update=True,
    by_hand="create the optimizer with {value}=True",
    chosen_for=("device", "torch"),
    fails_in="forward",
    suspicion=5,
    changes="With fused, losses differ in their last digits; with foreach they do not, and the step takes more memory.",
    hooks=(),
    set_on=("optimizer",),
)

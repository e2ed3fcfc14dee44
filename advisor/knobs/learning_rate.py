"""Peak learning rate of the main optimizer's first group.

The rates of other groups, other optimizers and the script's own schedulers keep their ratio to it: the schedule goes
on, scaled. `group["lr"]` holds the rate in force, so that a script logs the right one. Rates that a script writes by
hand are multiplied before each step. It gains where the script's rate is far from the best: `advisor lr SCRIPT` gives
the range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import NO_OPTIMIZER, Knob, PlainObjects, Values, always, key, unable
from ._optimizer_section import in_deepspeed, in_lightning

if TYPE_CHECKING:
    from ..types import Hardware, Workload

FACTORS = (1 / 3, 3.0)
"""Multiples of the script's rate worth trying first; a range test says more."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    if not optimizer.learning_rate:
        return Values(why_closed=f"the learning rate of {optimizer.class_name} is unknown, or 0")
    rate = optimizer.learning_rate
    return Values(
        values=tuple(float(f"{rate * factor:.2g}") for factor in FACTORS), why=f"the script's rate is {rate:g}"
    )


def wrong(value: Any) -> str | None:
    """Check a value: only positive numbers up to 1000."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1000:
        return None
    return f"{value!r} is not a positive number of at most 1000"


def _plain(objects: PlainObjects, value: Any) -> str | None:
    optimizer = objects.optimizer
    if optimizer is None:
        return NO_OPTIMIZER
    first = optimizer.param_groups[0].get("lr")
    if not first:
        return f"{type(optimizer).__name__} has no learning rate that others could keep their ratio to"
    for group in (*optimizer.param_groups, optimizer.defaults):
        if "lr" in group:
            group["lr"] = group["lr"] * (value / first)
    return None


KNOB = Knob(
    id="learning_rate",
    title="peak learning rate",
    values=_values,
    example=0.003,
    effect=always("training"),
    apply=lambda controls, value: controls.rates.set_rate(float(value)),
    restore=lambda controls: controls.rates.set_rate(None),
    wrong=wrong,
    judged_by_loss=True,
    keeps_pace=True,
    option_names=("lr", "learning_rate", "base_lr", "init_lr", "initial_lr", "max_lr", "lr0"),
    by_hand="create the optimizer with lr={value}, and scale the rates of other groups and of the scheduler alike",
    plain=_plain,
    formats={
        "accelerate": unable("the launcher starts the script, which makes its optimizer"),
        "deepspeed": lambda value, training: in_deepspeed({"lr": value}, training),
        "lightning": lambda value, training: in_lightning({"lr": value}, training),
        "python": lambda value, _training: {"optimizer": {"lr": value}},
        "transformers": key("learning_rate"),
    },
    changes="Training changes: all learning rates are multiplied by one factor. Checkpoints hold the rate in force.",
    hooks=("steps",),
    set_on=("optimizer",),
)

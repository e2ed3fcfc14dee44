"""Schedule of the learning rate, in place of the script's own.

The script's schedulers are held, and rates that it writes by hand are overridden. Each group's peak is the rate that
its own schedule had: its `max_lr`, `initial_lr`, or the rate that the optimizer was made with. All but `constant` need
the training's length in updates: `--updates N`, or `updates: N` in `advisor.yaml`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import rate_schedule
from ._base import Knob, Values, always, one_of, unable
from ._schedule_forms import in_deepspeed, in_python, in_transformers

if TYPE_CHECKING:
    from ..types import Hardware, Workload

BY_HAND = {
    rate_schedule.CONSTANT: "use no scheduler",
    rate_schedule.LINEAR: "torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=updates), stepped after "
    "each update",
    rate_schedule.COSINE: "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, updates), stepped after each update",
    rate_schedule.ONE_CYCLE: "torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps=updates, "
    "cycle_momentum=False), stepped after each update",
    rate_schedule.WSD: "a LambdaLR that rises for 5% of the updates, stays, and falls to 0 in the last 20%",
    rate_schedule.INVERSE_SQRT: "a LambdaLR that rises for 5% of the updates, then falls with the root of their number",
    rate_schedule.PLATEAU: "torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5), stepped with the loss",
}


def _values(_hardware: Hardware, workload: Workload) -> Values:
    optimizer = workload.main_optimizer
    if optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    if optimizer.learning_rate is None:
        return Values(why_closed=f"{optimizer.class_name} has no learning rate")
    own = {True: "the script has a schedule", False: "the script has no schedule"}.get(
        bool(optimizer.has_schedule), "it is unknown whether the script has a schedule"
    )
    return Values(values=rate_schedule.NAMES, why=own)


KNOB = Knob(
    id="lr_schedule",
    title="schedule of the learning rate",
    values=_values,
    example=rate_schedule.CONSTANT,
    effect=always("training"),
    apply=lambda controls, value: controls.rates.set_schedule(value),
    restore=lambda controls: controls.rates.set_schedule(None),
    wrong=one_of(*rate_schedule.NAMES),
    judged_by_loss=True,
    keeps_pace=True,
    by_hand="write the schedule {value}",
    by_hand_of=BY_HAND,
    formats={
        "deepspeed": in_deepspeed,
        "lightning": unable("LightningCLI steps a scheduler after each epoch, and this one counts updates"),
        "python": in_python,
        "transformers": in_transformers,
    },
    changes="Training changes: the learning rate follows this schedule, and the script's own is held.",
    hooks=("steps",),
    set_on=("optimizer",),
)

"""Fraction of the training in which the rate of `lr_schedule` rises to its peak.

Without it, one_cycle rises for 30% of the training, wsd and inverse_sqrt for 5%, and the others begin at their peak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, always, unable
from ._schedule_forms import in_deepspeed, in_python, in_transformers, of_warm_up

if TYPE_CHECKING:
    from ..types import Hardware, Workload

FRACTIONS = (0.05, 0.1)


def _values(_hardware: Hardware, workload: Workload) -> Values:
    if workload.main_optimizer is None:
        return Values(why_closed="no optimizer step was seen")
    return Values(values=FRACTIONS, why="usual warm-ups take up to a tenth of the training")


def wrong(value: Any) -> str | None:
    """Check a value: only fractions from 0 to 0.9."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 0.9:
        return None
    return f"{value!r} is not a fraction from 0 to 0.9"


KNOB = Knob(
    id="warm_up_fraction",
    title="warm-up of the learning rate",
    values=_values,
    example=0.1,
    effect=always("training"),
    apply=lambda controls, value: controls.rates.set_warm_up(float(value)),
    restore=lambda controls: controls.rates.set_warm_up(None),
    wrong=wrong,
    needs="lr_schedule",
    judged_by_loss=True,
    keeps_pace=True,
    by_hand="let the rate rise from about 0 to its peak in the first {value} of the updates",
    plain=lambda _objects, _value: "write it into the scheduler, or use advisor.apply()",
    formats={
        "deepspeed": of_warm_up(in_deepspeed),
        "lightning": unable("LightningCLI steps a scheduler after each epoch, and this one counts updates"),
        "python": of_warm_up(in_python),
        "transformers": of_warm_up(in_transformers, "warmup_steps"),
    },
    changes="Training changes: the first updates are made with smaller learning rates.",
    hooks=("steps",),
    set_on=("optimizer",),
)

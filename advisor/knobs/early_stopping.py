"""End the training once its loss has flattened: the loader ends, and the script's code after the loop still runs.

The loss is that of the script's evaluations where one is recognised (a loss function of torch under `no_grad`, or the
loss in a model's output), and otherwise the mean of the training's over an epoch. A value such as `5 evaluations, 0.1%`
means that the last five evaluations were not lower than the lowest before by a thousandth of it. Nothing ends while a
scheduler may still lower the learning rate.

Refused where the loop would not end with its loader: in a `while` that counts updates, with `next`, on several ranks,
and in the Trainers of libraries, which have early stopping of their own; and where the script's text would fail in an
epoch without batches, as it divides by their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..patience import EXPECTED, patience_of
from ..refused import Refused
from ._base import Knob, Values, always, noticing, unable

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls


def _values(_hardware: Hardware, _workload: Workload) -> Values:
    return Values(why_closed="it shortens the training and makes no update faster; set it by hand")


def _apply(controls: Controls, value: Any) -> None:
    patience = patience_of(value)
    if patience is None:
        raise Refused(_wrong(value) or "")
    controls.stop_early(patience, by="early_stopping")


def _wrong(value: Any) -> str | None:
    return None if patience_of(value) is not None else f"{value!r} is no patience: {EXPECTED}"


KNOB = Knob(
    id="early_stopping",
    title="end of a training whose loss is flat",
    values=_values,
    example="5 evaluations, 0.1%",
    effect=always("training"),
    apply=_apply,
    restore=lambda controls: controls.stop_early(None, by="early_stopping"),
    wrong=_wrong,
    after_first_update=True,
    by_hand="leave the training loop once the evaluation's loss has not fallen for {value}",
    noticed=noticing("Length", "the training ends once its loss is flat"),
    formats={
        "transformers": unable("a callback of the Trainer does it", "EarlyStoppingCallback, for {value}"),
    },
    changes="The training may end before its last epoch. Epochs that follow find no batches; their evaluations, "
    "schedules and checkpoints still run.",
)

"""Samples a backward, with as many an update as the script has: less memory for activations, more rounds of the loop.

Every batch of the loader is given out in parts. Each part's backward is scaled by its share, and only the last one's
optimizer step, clipping and schedule do anything: the same maths in another order of additions. The script goes round
its loop once for every part, so what it counts by rounds comes so many times as often: its lines of log, evaluations
or checkpoints every so many rounds; a loop that ends by a count of rounds would end early. Epochs stay epochs.

Closed where that would be another training: a loss that is a sum over samples, a learning rate set by hand every round,
an optimizer that is called with a closure, several optimizers, a loop that does not read its loader by `for`. With
batch norm, which sees fewer samples at once, the training is another one too (`training`).

Fewer and larger backwards than the script has are not offered: it counts its backwards itself, and would take its step
after as many larger ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, unable, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

PARTS = (2, 4)
"""Parts to try, halves first: each halving halves what is kept for backward, and makes the device's work smaller."""
OPTION_NAMES = (
    "batch_size", "bs", "batch", "batchsize", "train_batch_size", "batch_size_train", "train_bs",
    "per_device_train_batch_size", "per_device_batch_size", "device_batch_size", "per_gpu_train_batch_size",
    "per_gpu_batch_size", "micro_batch_size", "micro_batch", "mbs", "mini_batch_size", "minibatch_size",
)  # fmt: skip
COUNTING = {
    "transformers": "the Trainer counts its batches; per_device_train_batch_size with gradient_accumulation_steps "
    "says the same",
    "lightning": "the Trainer counts its batches; accumulate_grad_batches with a smaller batch size says the same",
}


def _values(_hardware: Hardware, workload: Workload) -> Values:
    closed = _closed(workload)
    if closed is not None:
        return Values(why_closed=closed)
    loader = workload.train_loader
    assert loader is not None
    assert loader.batch_size is not None
    written = loader.batch_size
    values = tuple(written // parts for parts in PARTS if written % parts == 0)
    if not values:
        return Values(why_closed=f"a batch of {written} cannot be halved")
    return Values(values=values, why=f"{written} samples a backward as written; each half keeps half as much for it")


def _closed(workload: Workload) -> str | None:
    loader = workload.train_loader
    if loader is None:
        return "no DataLoader feeds the updates"
    if loader.iterable:
        return "the dataset is iterable: how many samples its last batch has is not known before it is there"
    if loader.batch_size is None:
        return "the loader does not say its batch size"
    return _closed_by_updates(workload)


def _closed_by_updates(workload: Workload) -> str | None:
    """Return the first reason that holds; None if none does."""
    backwards = workload.facts.micro_steps
    stepping = sum(optimizer.steps_per_update > 0 for optimizer in workload.optimizers)
    reasons = {
        COUNTING.get(workload.framework, ""): workload.framework in COUNTING,
        "the optimizer is stepped with a closure, which runs forward and backward itself": workload.facts.closures,
        f"an update takes {backwards} backwards already, which the script itself counts": backwards != 1,
        f"{stepping} optimizers take turns: which parts belong to whose step cannot be told": stepping > 1,
        "the script scales its own loss, and looks for overflows at every backward": workload.flags.grad_scaler,
        f"{workload.world_size} ranks: the gradients of every part would be sent around": workload.world_size > 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _tier(_hardware: Hardware, workload: Workload) -> str:
    layers = {name for model in workload.models for name in model.layers}
    return "training" if any("BatchNorm" in name for name in layers) else "numerics"


def _apply(controls: Controls, value: Any) -> None:
    controls.accumulation.set(value, controls.micro_steps)


def _restore(controls: Controls) -> None:
    controls.accumulation.restore()


KNOB = Knob(
    id="micro_batch",
    title="samples a backward",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    wrong=whole_number(1, 2**31),
    after_first_update=True,
    by_hand="DataLoader(…, batch_size={value})",
    chosen_for=("device",),
    fails_in="batch",
    samples_per="backward",
    option_names=OPTION_NAMES,
    formats={
        "accelerate": unable(
            "the launcher knows no batches",
            "the loader's batch_size and Accelerator(gradient_accumulation_steps=…) so that "
            "a backward takes {value} samples",
        )
    },
    changes="A batch goes through in parts that add up to one update: the loss that the loop itself prints is that of "
    "a part, the training loss differs in its last digits, and layers that look at the whole batch see a part of it.",
)

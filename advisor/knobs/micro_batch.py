"""Samples per backward pass, with an unchanged number per update: less activation memory, more loop iterations.

Each batch of the loader is delivered in parts. The backward pass of a part is scaled by its share. Optimizer step,
clipping and schedule take effect only with the last part: the result is the same but for the order of additions. The
script's loop runs once per part. Logging, evaluation or checkpoints that count iterations come more often, and a loop
that ends after a number of iterations would end early. Epochs stay the same.

Closed if training would change: a loss summed over samples, a learning rate set by hand every iteration, an optimizer
called with a closure, several optimizers, or a loop that does not read its loader with `for`. With batch norm, which
then sees fewer samples at once, training changes too (`training`).

Fewer and larger backward passes than in the script are not offered: a script that counts its backward passes would
step after the same number of larger ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Knob, Values, unable, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload

PARTS = (2, 4)
"""Parts to try, halves first: each halving halves what is kept for backward, and makes the device's work smaller."""
OPTION_NAMES = (
    "batch_size", "bs", "batch", "batchsize", "train_batch_size", "batch_size_train", "train_bs",
    "per_device_train_batch_size", "per_device_batch_size", "device_batch_size", "per_gpu_train_batch_size",
    "per_gpu_batch_size", "micro_batch_size", "micro_batch", "mbs", "mini_batch_size", "minibatch_size",
)  # fmt: skip
COUNTING = {
    "transformers": "the Trainer counts batches; per_device_train_batch_size with gradient_accumulation_steps has the "
    "same effect",
    "lightning": "the Trainer counts batches; accumulate_grad_batches with a smaller batch size has the same effect",
}


def _values(_hardware: Hardware, workload: Workload) -> Values:
    closed = _closed(workload)
    if closed is not None:
        return Values(why_closed=closed)
    loader = workload.train_loader
    assert loader is not None
    assert loader.batch_size is not None
    baseline = loader.batch_size
    values = tuple(baseline // parts for parts in PARTS if baseline % parts == 0)
    if not values:
        return Values(why_closed=f"a batch of {baseline} cannot be halved")
    return Values(
        values=values,
        why=f"{baseline} samples per backward pass in the script; each half stores half of the activations",
    )


def _closed(workload: Workload) -> str | None:
    loader = workload.train_loader
    if loader is None:
        return "no DataLoader feeds the updates"
    if loader.iterable:
        return "the dataset is iterable: the size of its last batch is unknown until it arrives"
    if loader.batch_size is None:
        return "the loader's batch size is unknown"
    return _closed_by_updates(workload)


def _closed_by_updates(workload: Workload) -> str | None:
    """Return the first reason that holds; None if none does."""
    backwards = workload.facts.micro_steps
    stepping = sum(optimizer.steps_per_update > 0 for optimizer in workload.optimizers)
    reasons = {
        COUNTING.get(workload.framework, ""): workload.framework in COUNTING,
        "the optimizer is stepped with a closure, which runs forward and backward itself": workload.facts.closures,
        f"an update already has {backwards} backward passes, which the script itself counts": backwards != 1,
        f"{stepping} optimizers alternate: it is unknown which parts belong to which step": stepping > 1,
        "the script scales its own loss and checks for overflows after every backward pass": workload.flags.grad_scaler,
        f"{workload.world_size} ranks: the gradients of every part would be communicated": workload.world_size > 1,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _effect(_hardware: Hardware, workload: Workload) -> str:
    layers = {name for model in workload.models for name in model.layers}
    return "training" if any("BatchNorm" in name for name in layers) else "numerics"


KNOB = Knob(
    id="micro_batch",
    title="samples per backward pass",
    values=_values,
    example=2,
    effect=_effect,
    apply=lambda controls, value: controls.accumulation.set(value, controls.micro_steps),
    restore=lambda controls: controls.accumulation.restore(),
    wrong=whole_number(1, 2**31),
    after_first_update=True,
    by_hand="DataLoader(…, batch_size={value})",
    chosen_for=("device",),
    fails_in="batch",
    samples_per="backward",
    option_names=OPTION_NAMES,
    formats={
        "accelerate": unable(
            "the launcher does not set batch sizes",
            "the loader's batch_size and Accelerator(gradient_accumulation_steps=…) so that "
            "a backward pass has {value} samples",
        )
    },
    changes="An update processes its batch in parts. The loss that the loop prints is that of a part. The training "
    "loss differs in its last digits. Layers that use statistics of the batch see a part of it.",
)

"""Samples per update. A larger batch uses the device better and changes the training; the learning rate follows it."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, always, unable, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload
    from ._controls import Controls

FACTORS = (2, 4, 8)
LEAST_UPDATES_AN_EPOCH = 8
"""Updates that must remain in an epoch; a batch that leaves fewer is another training altogether."""
WARM_UP_UPDATES = 200
"""Updates until a proportional rate is reached. Goyal et al. took five epochs; the script's number is unknown."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed="no DataLoader feeds the updates")
    if loader.batch_size is None:
        return Values(why_closed="the loader's batch size is unknown")
    baseline = baseline_samples(workload)
    assert baseline is not None
    samples = loader.length_samples
    critical = workload.facts.critical_batch
    if critical is not None and baseline >= critical:
        return Values(
            why_closed=f"an update has {baseline} samples already, and the gradient noise scale is {critical:,.0f} at "
            "most: with more, hardly fewer updates reach the same loss"
        )
    values = [baseline * factor for factor in FACTORS if critical is None or baseline * factor <= FACTORS[0] * critical]
    if samples is not None:
        whole = samples * workload.world_size
        values = [value for value in values if value * LEAST_UPDATES_AN_EPOCH <= whole]
    if not values:
        return Values(
            why_closed=f"the dataset has {samples} samples: with more than {baseline} in an update, an epoch has fewer "
            f"than {LEAST_UPDATES_AN_EPOCH} updates"
        )
    known = "" if critical is None else f", and the gradient noise scale is {critical:,.0f} at most"
    return Values(values=tuple(values), why=f"the script's updates have {baseline} samples{known}")


def baseline_samples(workload: Workload) -> int | None:
    """Return the samples per update of the baseline, over all ranks; None if no loader says."""
    loader = workload.train_loader
    if loader is None or loader.batch_size is None:
        return None
    return loader.batch_size * workload.batches_per_update * workload.world_size


def _apply(controls: Controls, value: Any) -> None:
    size = controls.micro_batch_of(value)
    growth = size / controls.loaders.baseline_batch_size()
    controls.loaders.adjust("global_batch", batch_size=size)
    controls.scale_rates(functools.partial(rate_factor, growth))


def _restore(controls: Controls) -> None:
    controls.loaders.adjust("global_batch", batch_size=None)
    controls.scale_rates(None)


def rate_factor(growth: float, optimizer_class: str, steps: int) -> float:
    """Return the factor for a learning rate in the step after `steps` others, with a batch `growth` times the baseline.

    Plain SGD: `growth`, reached in steps (Goyal et al. 2017). Optimizers that divide by the size of the gradient: its
    square root.
    """
    if not _in_proportion(optimizer_class):
        return math.sqrt(growth)
    return 1 + (growth - 1) * min(1.0, (steps + 1) / WARM_UP_UPDATES)


def _in_proportion(optimizer_class: str) -> bool:
    return "SGD" in optimizer_class


def rate_rule(workload: Workload) -> str:
    """Describe the change of the learning rate when the batch grows by a factor k."""
    optimizer = workload.main_optimizer
    if optimizer is not None and _in_proportion(optimizer.class_name):
        return f"the learning rate is multiplied by k, over the first {WARM_UP_UPDATES} updates (SGD: linear scaling)"
    return "the learning rate is multiplied by the square root of k (Adam and similar optimizers)"


KNOB = Knob(
    id="global_batch",
    title="samples per update",
    values=_values,
    example=8,
    effect=always("training"),
    apply=_apply,
    restore=_restore,
    wrong=whole_number(1, 2**31),
    after_first_update=True,
    by_hand="choose batch size and accumulation so that an update has {value} samples over all processes",
    chosen_for=("device",),
    fails_in="batch",
    samples_per="update",
    option_names=("global_batch_size", "total_batch_size", "effective_batch_size", "gbs"),
    formats={
        "accelerate": unable(
            "the launcher does not set batch sizes",
            "the loader's batch_size and Accelerator(gradient_accumulation_steps=…) so that "
            "an update has {value} samples",
        )
    },
    changes="Training changes: an epoch has fewer, larger updates, each with a larger learning rate.",
    hooks=("loader", "model", "steps"),
)

"""Samples an update: more of them fill the device, and change the training, its learning rate above all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import Knob, Values, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload

FACTORS = (2, 4, 8)
LEAST_UPDATES_AN_EPOCH = 8
"""A batch that leaves fewer updates than this in an epoch is another training altogether."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loader = workload.train_loader
    if loader is None:
        return Values(why_closed="no DataLoader feeds the updates")
    if loader.batch_size is None:
        return Values(why_closed="the loader does not say its batch size")
    written = written_samples(workload)
    assert written is not None
    samples = loader.length_samples
    values = [written * factor for factor in FACTORS]
    if samples is not None:
        whole = samples * workload.world_size
        values = [value for value in values if value * LEAST_UPDATES_AN_EPOCH <= whole]
    if not values:
        return Values(
            why_closed=f"the dataset has {samples} samples: more than {written} an update would leave an epoch fewer "
            f"than {LEAST_UPDATES_AN_EPOCH} updates"
        )
    return Values(values=tuple(values), why=f"{written} samples an update as written")


def written_samples(workload: Workload) -> int | None:
    """Samples that an update of the script as written is made of, over all ranks; None where no loader says."""
    loader = workload.train_loader
    if loader is None or loader.batch_size is None:
        return None
    return loader.batch_size * int(workload.facts.get("micro_steps", "1")) * workload.world_size


def _tier(_hardware: Hardware, _workload: Workload) -> str:
    return "training"


def _apply(bench: Any, value: Any) -> None:
    bench.loaders.adjust("global_batch", batch_size=bench.micro_batch_of(value))


def _restore(bench: Any) -> None:
    bench.loaders.adjust("global_batch", batch_size=None)


def rate_rule(workload: Workload) -> str:
    """What the learning rate is to do when the batch grows by a factor k; it is told, never applied unasked."""
    optimizer = workload.main_optimizer
    name = optimizer.class_name if optimizer is not None else ""
    if "SGD" in name:
        return "multiply the learning rate by k (SGD: linear scaling, with a warm-up)"
    return "multiply the learning rate by the square root of k (Adam and its kin)"


KNOB = Knob(
    id="global_batch",
    title="samples an update",
    scope="live",
    values=_values,
    tier=_tier,
    apply=_apply,
    restore=_restore,
    wrong=whole_number(1, 2**31),
    after_first_update=True,
    changes="The training takes another course: fewer, larger updates an epoch; the learning rate has to follow.",
    hooks=("loader", "model"),
)

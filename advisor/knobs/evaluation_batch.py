"""Evaluate with larger batches: the same samples in the same order, with fewer calls of the model.

An evaluation stores no activations, so twice the training's batch fits wherever training fits. It is set once a whole
evaluation was seen. A script that counts the batches for itself, or reads only some of them, is left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._base import Knob, Values, always, noticing, whole_number

if TYPE_CHECKING:
    from ..types import Hardware, Workload

MOST_OF_TRAINING = 2
"""Samples of a batch relative to the training's: a forward without gradients needs less than half of its memory."""


def _values(_hardware: Hardware, workload: Workload) -> Values:
    loaders = [loader for loader in workload.loaders if loader.role == "evaluation"]
    train = workload.train_loader
    if not loaders:
        return Values(why_closed="no DataLoader was seen to feed an evaluation")
    if workload.framework != "plain":
        return Values(why_closed=f"{workload.framework} runs the evaluation, and plans its batches")
    if train is None or train.batch_size is None:
        return Values(why_closed="the training's batch size is unknown: it limits what fits in memory")
    sizes = [loader.batch_size for loader in loaders if loader.batch_size is not None and not loader.iterable]
    wanted = (MOST_OF_TRAINING * train.batch_size, train.batch_size)
    values = tuple(value for value in wanted if sizes and value > min(sizes))
    if not values:
        return Values(why_closed=f"the evaluation's batches are not smaller than {wanted[0]} samples already")
    return Values(values=values, why=f"evaluation uses batches of {min(sizes)}, and training of {train.batch_size}")


KNOB = Knob(
    id="evaluation_batch",
    title="samples of an evaluation's batch",
    values=_values,
    example=32,
    effect=always("numerics"),  # of the evaluation's figures; the training itself is the same
    apply=lambda controls, value: controls.evaluate_in_batches(value, by="evaluation_batch"),
    restore=lambda controls: controls.evaluate_in_batches(None, by="evaluation_batch"),
    wrong=whole_number(1, 2**20),
    by_hand="DataLoader(…, batch_size={value}) for the evaluation",
    chosen_for=("device", "host memory"),
    noticed=noticing("Evaluation", "figures that are averaged over batches weigh samples of a short last batch less"),
    formats={"transformers": lambda value, _training: {"per_device_eval_batch_size": value}},
    changes="Averages over the batches of an evaluation may differ in their last digits, or with the size of the last "
    "batch; a script that multiplies by its loader's batch_size reports other figures.",
    hooks=("loader", "model"),
    shortens_evaluation=True,
    opened_by=("evaluation_batch_small", "evaluation_heavy"),
)

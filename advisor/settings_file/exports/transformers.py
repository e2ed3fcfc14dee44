"""Keyword arguments of `TrainingArguments` as JSON; names of transformers 5."""

from __future__ import annotations

import json
from typing import Any

from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    content: dict[str, Any] = {}
    if draft.training.device == "cpu":
        content["use_cpu"] = True
    batch = draft.batch()
    if batch.micro is not None:
        content["per_device_train_batch_size"] = batch.micro
    if batch.parts is not None:
        content["gradient_accumulation_steps"] = batch.parts
    content |= draft.express()
    return json.dumps(content, indent=2) + "\n"


EMITTER = Emitter(
    id="transformers",
    title="TrainingArguments of transformers",
    file_name="training_arguments.json",
    usage="TrainingArguments(**json.load(open('training_arguments.json')), …)",
    emit=_emit,
)

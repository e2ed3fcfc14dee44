"""Keyword arguments of `TrainingArguments` as JSON; names of transformers 5."""

from __future__ import annotations

import json
from typing import Any

from ._base import Draft, Emitter

LOADER = {
    "num_workers": "dataloader_num_workers",
    "prefetch_factor": "dataloader_prefetch_factor",
    "pin_memory": "dataloader_pin_memory",
    "persistent_workers": "dataloader_persistent_workers",
    "activation_checkpointing": "activation_checkpointing",
}
PRECISION: dict[str, dict[str, bool]] = {
    "fp32": {"bf16": False, "fp16": False},
    "tf32": {"tf32": True},
    "bf16": {"bf16": True},
    "fp16": {"fp16": True},
}


def _emit(draft: Draft) -> str:
    content: dict[str, Any] = {}
    if draft.training.device == "cpu":
        content["use_cpu"] = True
    batch = draft.batch()
    if batch.micro is not None:
        content["per_device_train_batch_size"] = batch.micro
    if batch.parts is not None:
        content["gradient_accumulation_steps"] = batch.parts
    content |= draft.keywords(LOADER)
    content |= PRECISION.get(str(draft.take("precision")), {}) if draft.has("precision") else {}
    if draft.has("compile"):
        content |= {"torch_compile": True, "torch_compile_mode": draft.take("compile")}
    content |= _optimizer(draft)
    draft.leave_rest()
    return json.dumps(content, indent=2) + "\n"


def _optimizer(draft: Draft) -> dict[str, str]:
    kind = draft.training.optimizer
    if draft.document.config.as_dict().get("fused_optimizer") != "fused":
        return {}
    if kind != "AdamW":
        draft.leave("fused_optimizer", f"optim knows only fused AdamW; the script's optimizer is {kind or 'unknown'}")
        return {}
    draft.take("fused_optimizer")
    return {"optim": "adamw_torch_fused"}


EMITTER = Emitter(
    id="transformers",
    title="TrainingArguments of transformers",
    file_name="training_arguments.json",
    usage="TrainingArguments(**json.load(open('training_arguments.json')), …)",
    emit=_emit,
)

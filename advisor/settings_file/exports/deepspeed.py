"""DeepSpeed's JSON, by its documented keys (https://www.deepspeed.ai/docs/config-json/).

Mixed precision goes to `torch_autocast`, since autocast was measured; DeepSpeed's `bf16` and `fp16` cast the weights.
"""

from __future__ import annotations

import json
from typing import Any

from ._base import Draft, Emitter

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


def _emit(draft: Draft) -> str:
    content: dict[str, Any] = {**_batch(draft), **_precision(draft)}
    draft.leave(
        "fused_optimizer",
        "the section optimizer needs the script's learning rate, and selects DeepSpeed's own optimizers",
    )
    draft.leave(
        "compile",
        "the section compile is for DeepCompile, which was not measured",
        "engine.compile(compile_kwargs={{'mode': '{value}'}})",
    )
    draft.leave(
        "activation_checkpointing", "the section of that name only configures a function that the model must call"
    )
    draft.leave_rest()
    return json.dumps(content, indent=2) + "\n"


def _batch(draft: Draft) -> dict[str, int]:
    batch = draft.batch()
    known = draft.training
    if batch.update is None and batch.micro is None:
        if known.batch_size is None or known.samples_per_update is None:
            draft.need("train_micro_batch_size_per_gpu", "DeepSpeed requires it, and no setting gives it")
            return {}
        parts = known.samples_per_update // (known.batch_size * known.processes)
        return {"train_micro_batch_size_per_gpu": known.batch_size, "gradient_accumulation_steps": max(1, parts)}
    keys = {
        "train_micro_batch_size_per_gpu": batch.micro,
        "gradient_accumulation_steps": batch.parts,
        "train_batch_size": batch.update,
    }
    return {name: value for name, value in keys.items() if value is not None}


def _precision(draft: Draft) -> dict[str, Any]:
    value = draft.document.config.as_dict().get("precision")
    if value in DTYPES:
        draft.take("precision")
        return {"torch_autocast": {"enabled": True, "dtype": DTYPES[str(value)]}}
    if value == "fp32":
        draft.take("precision")
        return {"torch_autocast": {"enabled": False}}
    return {}


EMITTER = Emitter(
    id="deepspeed",
    title="DeepSpeed's JSON",
    file_name="deepspeed.json",
    usage="deepspeed.initialize(model=model, config='deepspeed.json', …)",
    emit=_emit,
)

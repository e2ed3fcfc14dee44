"""DeepSpeed's JSON, by its documented keys (https://www.deepspeed.ai/docs/config-json/).

Mixed precision goes to `torch_autocast`, since autocast was measured; DeepSpeed's `bf16` and `fp16` cast the weights.
"""

from __future__ import annotations

import json

from ._base import Draft, Emitter


def _emit(draft: Draft) -> str:
    content = {**_batch(draft), **draft.express()}
    if "optimizer" in content:
        draft.need("optimizer.params", "the section replaces the script's optimizer: add what else that is made with")
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


EMITTER = Emitter(
    id="deepspeed",
    title="DeepSpeed's JSON",
    file_name="deepspeed.json",
    usage="deepspeed.initialize(model=model, config='deepspeed.json', …)",
    emit=_emit,
)

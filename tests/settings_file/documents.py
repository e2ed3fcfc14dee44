"""Documents for the tests of emitters."""

from __future__ import annotations

from typing import Any

from advisor.settings_file.exports import Document
from advisor.types import Config

EVERYTHING: dict[str, Any] = {
    "activation_checkpointing": True,
    "cache_dataset": True,
    "compile": "default",
    "cudnn_benchmark": True,
    "fused_optimizer": "fused",
    "global_batch": 64,
    "memory_format": "channels_last",
    "micro_batch": 16,
    "num_workers": 2,
    "persistent_workers": True,
    "pin_memory": False,
    "precision": "bf16",
    "prefetch_factor": 4,
    "threads": 2,
}
"""Every knob that there is, or will be in this version."""
ON_CPU = {"device": "cpu", "optimizer": "AdamW", "batch_size": 32, "samples_per_update": 32, "processes": 1}


def document(settings: dict[str, Any], training: dict[str, Any] | None = None, **found: Any) -> Document:
    said = {"command": "train.py --lr 0.1", "training": ON_CPU if training is None else training, **found}
    return Document(config=Config.of(settings), found=said)

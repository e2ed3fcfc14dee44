"""Sections of files that make the optimizer themselves: DeepSpeed's, and that of LightningCLI.

Such a section stands in the place of the script's whole optimizer: it needs its class and its learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from ._base import Unable

MADE_BY_NAME = ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "SGD")
"""Optimizers that both make by the names and keywords of torch."""
Made = Union[Mapping[str, Any], Unable]


def in_deepspeed(entries: Mapping[str, Any], training: Any) -> Made:
    """Return DeepSpeed's section `optimizer` with these keywords, and the learning rate."""
    why = _why_not(training)
    if why:
        return Unable(f"the section optimizer replaces the script's, and {why}")
    # DeepSpeed takes Adam for AdamW unless it is told.
    coupled = {"adam_w_mode": False} if training.made_optimizer == "Adam" else {}
    params = {"lr": training.rate, **entries, **coupled}
    return {"optimizer": {"type": training.made_optimizer, "params": params}}


def in_lightning(entries: Mapping[str, Any], training: Any) -> Made:
    """Return the section `optimizer` of LightningCLI with these keywords, and the learning rate."""
    why = _why_not(training)
    if why:
        return Unable(f"configure_optimizers() makes the optimizer; the section of LightningCLI replaces it, and {why}")
    class_path = f"torch.optim.{training.made_optimizer}"
    return {"optimizer": {"class_path": class_path, "init_args": {"lr": training.rate, **entries}}}


def _why_not(training: Any) -> str:
    """Return why no section can be written; empty if one can."""
    if training.made_optimizer is None:
        return "the file does not say which that is"
    if training.made_optimizer not in MADE_BY_NAME:
        return f"it cannot make {training.made_optimizer}"
    return "the file does not say its learning rate" if training.rate is None else ""

"""Settings on objects that the caller hands over, by plain torch: no hooks, and nothing of ours stays in them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

ELSEWHERE = {
    "activation_checkpointing": "call the repeated blocks through torch.utils.checkpoint, or use advisor.apply()",
    "cache_dataset": "keep the samples in the dataset, or use advisor.apply()",
}
"""What plain torch has no switch for."""


def apply(settings: Mapping[str, Any], model: Any, optimizer: Any) -> tuple[Any, dict[str, str]]:
    """The model to go on with, and why settings were not applied: name → reason.

    What the loader and autocast do is not meant here.
    """
    import torch

    left: dict[str, str] = {name: why for name, why in ELSEWHERE.items() if settings.get(name)}
    if "threads" in settings:
        torch.set_num_threads(int(settings["threads"]))
    if "cudnn_benchmark" in settings:
        torch.backends.cudnn.benchmark = bool(settings["cudnn_benchmark"])
    if settings.get("precision") in ("tf32", "fp32"):
        torch.set_float32_matmul_precision("high" if settings["precision"] == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = settings["precision"] == "tf32"
    if settings.get("precision") == "fp16":
        left["precision"] = "scale the loss with torch.amp.GradScaler, or use advisor.apply()"
    form = settings.get("fused_optimizer")
    if form:
        why_not = "no optimizer was given" if optimizer is None else _set_form(optimizer, str(form))
        if why_not:
            left["fused_optimizer"] = why_not
    if model is None:
        left.update((name, "no model was given") for name in ("memory_format", "compile") if settings.get(name))
        return model, left
    if settings.get("memory_format") == "channels_last":
        model = model.to(memory_format=torch.channels_last)
    if settings.get("compile"):
        model = torch.compile(model, mode=str(settings["compile"]))
    return model, left


def _set_form(optimizer: Any, form: str) -> str:
    """Sets `fused` or `foreach` on all groups, as the class does when it is made so; why not, where it cannot."""
    name = type(optimizer).__name__
    if form not in inspect.signature(type(optimizer).__init__).parameters:
        return f"{name} has no {form} form"
    if optimizer.state:
        return f"{name} has made steps already: apply the settings before the first one"
    wrong = [group for group in optimizer.param_groups if group.get("differentiable")]
    if wrong and form == "fused":
        return f"{name} is differentiable, which its fused form is not"
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = form == "fused", form == "foreach"
    for key in ("fused", "foreach"):
        optimizer.defaults[key] = form == key  # groups that are added later
    if form == "fused":
        optimizer._step_supports_amp_scaling = True
        optimizer._need_device_dtype_check_for_fused = True
    return ""

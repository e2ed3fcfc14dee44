"""Settings applied by plain torch to objects that the caller passes: no hooks, and nothing of ours stays in them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ... import knobs

if TYPE_CHECKING:
    from torch.optim import Optimizer

APPLIED = ("compile", "cudnn_benchmark", "fused_optimizer", "memory_format", "precision", "threads")
"""Settings that plain torch applies to the objects given here."""
OF_THE_LOADER = ("num_workers", "persistent_workers", "pin_memory", "prefetch_factor", "global_batch", "micro_batch")
"""Settings that the caller gives its `DataLoader`, or makes of several backwards."""


def apply(settings: Mapping[str, Any], model: Any, optimizer: Optimizer) -> tuple[object, dict[str, str]]:
    """Apply settings except the loader's and autocast; return the model to use, and name → reason for those left."""
    import torch

    left = {
        name: f"{knobs.get(name).described_by_hand(value)}, or use advisor.apply()"
        for name, value in settings.items()
        if value and name not in (*APPLIED, *OF_THE_LOADER)
    }
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
    """Set `fused` or `foreach` on all groups as the constructor would; return why not if impossible, else ""."""
    name = type(optimizer).__name__
    if form not in inspect.signature(type(optimizer).__init__).parameters:
        return f"{name} has no {form} form"
    if optimizer.state:
        return f"{name} has already taken steps: apply the settings before the first one"
    wrong = [group for group in optimizer.param_groups if group.get("differentiable")]
    if wrong and form == "fused":
        return f"{name} is differentiable, and its fused form is not"
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = form == "fused", form == "foreach"
    for key in ("fused", "foreach"):
        optimizer.defaults[key] = form == key  # for groups added later
    if form == "fused":
        optimizer._step_supports_amp_scaling = True
        optimizer._need_device_dtype_check_for_fused = True
    return ""

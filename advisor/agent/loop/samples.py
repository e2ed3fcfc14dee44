"""Sizes of batches: their samples and elements."""

from __future__ import annotations

import sys
from collections import abc
from typing import Any

INDICES, LEADING_DIMENSION = "indices", "leading dimension"


def count_samples(batch: object, index: object, items: int) -> tuple[int | None, str]:
    """Return the samples of a batch and the source of that number.

    `index` is the sampler's output, or None if meaningless (iterable datasets). `items` is the number of collated
    items, or 0 if unseen. Leading dimensions come last: they are wrong for graphs and packed text.
    """
    if isinstance(index, list):
        return len(index), INDICES
    if items:
        return items, INDICES
    shape = getattr(index, "shape", None)
    if shape is not None and len(shape) > 0:
        return int(shape[0]), INDICES
    leaf = first_tensor(batch)
    if leaf is None or leaf.dim() == 0:
        return None, LEADING_DIMENSION
    return int(leaf.shape[0]), LEADING_DIMENSION


def first_tensor(value: object) -> Any:
    """Return the first tensor in nested containers, or None."""
    if isinstance(value, sys.modules["torch"].Tensor):
        return value
    if isinstance(value, abc.Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            found = first_tensor(item)
            if found is not None:
                return found
    return None


def leading_dimension(args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[int | None, Any]:
    """Return the size of the first dimension of a call's first tensor, and that tensor."""
    for value in (*args, *kwargs.values()):
        inner = value
        if isinstance(inner, dict):
            inner = next(iter(inner.values()), None)
        elif isinstance(inner, (list, tuple)) and inner:
            inner = inner[0]
        shape = getattr(inner, "shape", None)
        if shape is not None and len(shape) and hasattr(inner, "storage_offset"):
            return int(shape[0]), inner
    return None, None


def elements(args: tuple[object, ...], kwargs: dict[str, object]) -> int:
    """Return the elements of a call's first tensor; 0 if it has none."""
    tensor = args[0] if args and isinstance(args[0], sys.modules["torch"].Tensor) else None
    if tensor is None or not tensor.dim():
        tensor = leading_dimension(args, kwargs)[1]
    return int(tensor.numel()) if tensor is not None else 0


def noted_loss(loss: Any) -> object:
    """Return the loss for reading later: its value on the CPU, a tensor elsewhere.

    On the CPU, a tensor that outlives its update keeps the allocator from reusing the memory. This cost 20 page faults
    per update of 1 ms. On an accelerator, reading the value would wait for the device."""
    if loss.is_cpu and loss.numel() == 1:
        return loss.item()
    return loss.detach()

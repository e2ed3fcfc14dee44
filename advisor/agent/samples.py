"""How many samples a batch holds."""

from __future__ import annotations

import sys
from collections import abc
from typing import Any

INDICES, LEADING_DIMENSION = "indices", "leading dimension"


def count_samples(batch: Any, index: Any, items: int) -> tuple[int | None, str]:
    """Samples of a batch, and what told it.

    `index` is what the sampler gave for it, None where that says nothing (iterable datasets); `items` is how many
    items were collated into it, 0 where nobody saw it. Leading dimensions come last: they lie for graphs and packed
    text.
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


def first_tensor(value: Any) -> Any:
    """The first tensor in nested containers; None without one."""
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

"""The tensors in what a script passes around: batches, arguments, outputs of models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

DEPTH = 8
"""Depth of nested containers to which they are searched."""


def tensors_in(value: Any, most: int | None = None, depth: int = DEPTH) -> Iterator[Any]:
    """Yield the tensors in nested mappings, lists and tuples, in an order that is the same for values of one form.

    Of each container only the first `most` items are looked at: a list of a million numbers takes no time.
    """
    import torch

    if isinstance(value, torch.Tensor):
        yield value
        return
    if callable(getattr(value, "items", None)) and callable(getattr(value, "values", None)):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    if depth:
        for item in islice(value, most):
            yield from tensors_in(item, most, depth - 1)


def copied(value: Any) -> Any:
    """Return a deep copy whose tensors are new leaves, in objects' attributes too."""
    known: dict[int, Any] = {}
    _copy_tensors(value, known, set())
    return copy.deepcopy(value, known)


def _copy_tensors(value: Any, known: dict[int, Any], seen: set[int]) -> None:
    if id(value) in seen:
        return
    seen.add(id(value))
    if hasattr(value, "untyped_storage"):
        known[id(value)] = value.detach().clone().requires_grad_(value.requires_grad)
    elif isinstance(value, dict):
        for entry in value.values():
            _copy_tensors(entry, known, seen)
    elif isinstance(value, (list, tuple, set)):
        for entry in value:
            _copy_tensors(entry, known, seen)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        for entry in vars(value).values():
            _copy_tensors(entry, known, seen)

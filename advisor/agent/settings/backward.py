"""Arguments of `torch.autograd.backward` with its starting gradient multiplied."""

from __future__ import annotations

from typing import Any, Callable

Inner = Callable[[Callable[..., Any], Any, Any, Any], Any]
"""Callable (torch's own, tensors, args, kwargs): the remaining calls down to torch."""


def scaled(
    tensors: Any, args: tuple[Any, ...], kwargs: dict[str, Any], factor: float
) -> tuple[object, dict[str, object]]:
    """Return (args, kwargs) of a backward whose gradients are `factor` times as large.

    The starting gradient is multiplied: the effect of a product with the loss, with one operator less. Arguments that
    torch would refuse stay as they are, so that torch refuses them.
    """
    given = args[0] if args else kwargs.get("grad_tensors")
    many = not hasattr(tensors, "detach")
    outputs = list(tensors) if many else [tensors]
    starts = [None] * len(outputs) if given is None else list(given) if _is_row(given) else [given]
    if len(starts) != len(outputs) or any(s is None and o.numel() != 1 for s, o in zip(starts, outputs)):
        return args, kwargs
    multiplied = [_start(output, start, factor) for output, start in zip(outputs, starts)]
    rest = {name: value for name, value in kwargs.items() if name != "grad_tensors"}
    return (multiplied if many or _is_row(given) else multiplied[0], *args[1:]), rest


def creates_graph(args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    """Return whether the gradients can be differentiated again; they are then part of a graph and must not change."""
    return bool(kwargs.get("create_graph") or (len(args) > 2 and args[2]))


def _start(output: Any, start: Any, factor: float) -> object:
    import torch

    if start is not None:
        return start * factor
    if not output.requires_grad:
        return None
    return torch.full_like(output.detach(), factor)


def _is_row(value: object) -> bool:
    return isinstance(value, (list, tuple))

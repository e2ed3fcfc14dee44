"""Gradients taken from an optimizer, so that its step does nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer


def parameters_of(optimizer: Optimizer) -> list[Any]:
    groups = getattr(optimizer, "param_groups", ())  # a subclass may be half initialised
    return [parameter for group in groups for parameter in group["params"]]


def take_gradients(optimizer: Optimizer) -> list[tuple[object, object]]:
    """Remove and return the optimizer's (parameter, gradient) pairs; without gradients its step does nothing."""
    gradients = [(parameter, parameter.grad) for parameter in parameters_of(optimizer) if parameter.grad is not None]
    for parameter, _gradient in gradients:
        parameter.grad = None
    return gradients

"""Tensors that grow by `torch.cat` in a loop are found; lists that are joined once are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from advisor.agent.loop.clock import StepClock

from .test_operators import backward, operators

STEPS, WIDTH = 12, 64


def update_with(forward: Callable[[Tensor], Tensor]) -> Callable[[StepClock], Any]:
    weight = torch.ones(WIDTH, WIDTH).requires_grad_()

    def update(clock: StepClock) -> Tensor:
        result = forward(weight)
        backward(clock, result.sum())
        return result

    return update


def grown(weight: Tensor) -> Tensor:
    out = weight[:1]
    for step in range(STEPS):
        out = torch.cat([out, weight[step : step + 1] * 2])
    return out


def put_before(weight: Tensor) -> Tensor:
    out = weight[:1]
    for step in range(STEPS):
        out = torch.cat([weight[step : step + 1] * 2, out], 0)
    return out


def at_once(weight: Tensor) -> Tensor:
    return torch.cat([weight[step : step + 1] * 2 for step in range(STEPS)])


def pairs(weight: Tensor) -> Tensor:
    return torch.stack([torch.cat([weight[step], weight[step] * 2]) for step in range(STEPS)])


def sliding(weight: Tensor) -> Tensor:
    """A window of constant length is no tensor that grows, though each `cat` takes a part of the one before."""
    window = weight[:4]
    for step in range(STEPS):
        window = torch.cat([window[1:], weight[step : step + 1]])
    return window


@pytest.mark.parametrize("forward", [grown, put_before])
def test_a_tensor_that_grows_is_found(forward: Callable[[Tensor], Tensor]) -> None:
    found = operators(update_with(forward), updates=2)["joined"]
    assert found["calls"] == STEPS
    assert (found["file"], found["function"]) == (__file__, forward.__name__)
    rows = sum(range(2, STEPS + 2))
    assert found["bytes_per_update"] == 2 * rows * WIDTH * 4
    assert found["seconds_per_update"] > 0


@pytest.mark.parametrize("forward", [at_once, pairs, sliding])
def test_others_are_not(forward: Callable[[Tensor], Tensor]) -> None:
    assert operators(update_with(forward), updates=2)["joined"] is None

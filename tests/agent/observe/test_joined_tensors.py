"""Tensors that grow by `torch.cat` in a loop are found; lists that are joined once are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.frames import Frames
from advisor.agent.observe.joined_tensors import LEAST_CALLS, JoinedTensors

from .test_operators import operators, update_by

STEPS, WIDTH = 12, 64


def update_with(forward: Callable[[Tensor], Tensor]) -> Callable[[StepClock], Any]:
    weight = torch.ones(WIDTH, WIDTH).requires_grad_()
    return update_by(lambda: forward(weight))


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


def test_another_tensor_in_freed_memory_is_no_longer_part_of_what_grows() -> None:
    memory = torch.zeros(16)
    watch = JoinedTensors(Frames())
    for _ in range(2 * LEAST_CALLS):  # the same address each time, and not the size of the result before
        watch.saw("cat", ([memory[:8], memory[8:9]],), memory[:9], 1000, forward=True)
    assert watch.report(1) == {"joined": None}

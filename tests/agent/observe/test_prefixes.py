"""Layers that are called on each prefix of a sequence are found; recurrent and cached ones are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advisor.agent.loop.clock import StepClock

from .test_operators import operators, update_by

LENGTH, WIDTH = 8, 32
WORDS = torch.randn(4, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))


def update_with(forward: Callable[[nn.Module], Tensor]) -> Callable[[StepClock], Any]:
    model = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    return update_by(lambda: forward(model))


def prefixes(model: nn.Module) -> Tensor:
    return torch.stack([model(WORDS[:, :n])[:, -1] for n in range(1, LENGTH + 1)])


def step_by_step(model: nn.Module) -> Tensor:
    state = torch.zeros(4, WIDTH)
    for n in range(LENGTH):
        state = model(state + WORDS[:, n])
    return state


def test_a_call_for_each_prefix_is_found() -> None:
    found = operators(update_with(prefixes), updates=2)["prefixes"]
    assert found["calls"] == LENGTH
    assert found["file"] == __file__
    assert found["fraction"] == 1.0
    assert found["saved_fraction"] == pytest.approx(1 - LENGTH / sum(range(1, LENGTH + 1)))


@pytest.mark.parametrize(
    "forward",
    [
        step_by_step,
        lambda model: model(WORDS),
        lambda model: torch.cat([model(part) for part in WORDS.flatten(0, 1).split([1, 2, 5, 4, 9, 6, 5])]),
    ],
    ids=["recurrent", "at once", "pieces of many sizes"],
)
def test_other_ways_are_none(forward: Callable[[nn.Module], Tensor]) -> None:
    assert operators(update_with(forward), updates=2)["prefixes"] is None

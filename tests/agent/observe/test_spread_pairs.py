"""Pairs of rows that are spread out and summed up are found; masks, weights and pairs that stay are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from advisor.agent.loop.clock import StepClock

from .test_operators import operators, update_by

ROWS, WIDTH = 128, 64


def update_with(loss: Callable[[Tensor], Tensor]) -> Callable[[StepClock], Any]:
    rows = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return update_by(lambda: loss(rows))


def distances(rows: Tensor) -> Tensor:
    return (rows.unsqueeze(1) - rows.unsqueeze(0)).pow(2).sum(-1)


def largest(rows: Tensor) -> Tensor:
    return (rows[:, None] - rows[None]).abs().amax(2)


def products(rows: Tensor) -> Tensor:
    return (rows[:, None] * rows[None]).sum(-1)


@pytest.mark.parametrize(
    ("loss", "holds"), [(distances, "differences"), (largest, "differences"), (products, "products")]
)
def test_pairs_that_are_summed_up_are_found(loss: Callable[[Tensor], Tensor], holds: str) -> None:
    found = operators(update_with(loss), updates=2)["pairs"]
    assert (found["file"], found["function"], found["holds"]) == (__file__, loss.__name__, holds)
    size = ROWS * ROWS * WIDTH * 4
    assert found["bytes"] == size
    assert found["bytes_per_update"] >= 3 * size  # written, read, and read again by the backward
    assert found["seconds_per_update"] > 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda rows: torch.cdist(rows, rows),
        lambda rows: (rows[:, None] - rows[None]).tanh() @ torch.ones(WIDTH, 4),  # read by a layer, not summed up
        lambda rows: (torch.ones(ROWS, ROWS, WIDTH) * rows).sum(-1),  # a weight for each of many rows
        lambda rows: (rows[:8, None] - rows[None]).pow(2).sum(-1),  # fits into the caches
    ],
    ids=["cdist", "read by a layer", "weighted", "small"],
)
def test_others_are_not(loss: Callable[[Tensor], Tensor]) -> None:
    assert operators(update_with(loss), updates=2)["pairs"] is None

"""Size of real updates, relative to the parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from advisor.agent.observe.movement import MOST_MEASURED, Movement


def trained(rate: float, updates: int, seen: list[int]) -> Movement:
    weight = nn.Parameter(torch.ones(20, 20))
    optimizer = torch.optim.SGD([weight], rate)
    found = Movement()
    for number in range(1, updates + 1):
        weight.grad = torch.ones(20, 20)
        optimizer.step()
        if number in seen:
            found.update_ended(number, [optimizer])
    return found


def test_it_is_the_ratio_of_norms() -> None:
    assert trained(1e-3, 2, [1, 2]).facts()["moved"] == [pytest.approx(1e-3, rel=1e-2)]


def test_copies_of_an_older_update_are_not_compared() -> None:
    assert trained(1e-3, 5, [1, 3, 5]).facts()["moved"] == []


def test_few_updates_are_measured() -> None:
    assert len(trained(1e-3, 100, list(range(1, 101))).facts()["moved"]) == MOST_MEASURED


def test_biases_are_left_out() -> None:
    bias = nn.Parameter(torch.zeros(8))
    optimizer = torch.optim.SGD([bias], 0.1)
    found = Movement()
    for number in (1, 2):
        bias.grad = torch.ones(8)
        optimizer.step()
        found.update_ended(number, [optimizer])
    assert found.facts()["moved"] == []

"""Products with one-hot rows are found with their line; dense, dropped out and rectified matrices are none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from advisor.agent.loop.clock import StepClock
from advisor.agent.observe.zero_products import is_mostly_zero

from .test_operators import backward, operators

ROWS, WORDS, WIDTH = 96, 2000, 8
WEIGHTS = torch.ones(WORDS, WIDTH, requires_grad=True)


def one_hot() -> Tensor:
    return functional.one_hot(torch.arange(ROWS), WORDS).float()


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        (one_hot(), True),
        (torch.zeros(ROWS, WORDS), False),
        (torch.ones(ROWS, WORDS), False),
        (functional.dropout(torch.ones(ROWS, WORDS), 0.9), False),
        (functional.one_hot(torch.arange(ROWS), WORDS), False),
    ],
    ids=["one-hot", "nothing but zeros", "dense", "dropout", "integers"],
)
def test_what_counts(matrix: Tensor, found: bool) -> None:
    assert is_mostly_zero(matrix) is found


def update_with(matrix: Tensor) -> Any:
    def update(clock: StepClock) -> Tensor:
        result = matrix @ WEIGHTS
        backward(clock, result.sum())
        return result

    return update


def test_the_line_and_the_time_are_told() -> None:
    found = operators(update_with(one_hot()), updates=2)
    product = found["zero_product"]
    assert (product["rows"], product["columns"], product["function"]) == (ROWS, WORDS, "update")
    assert 0 < product["seconds_per_update"] <= found["seconds"]


def test_activations_that_are_almost_all_zero_are_none() -> None:
    """A net that has learned its data, with ReLUs of which few are left: no lookup gives what it computes."""
    alive = one_hot().requires_grad_()
    assert operators(update_with(functional.relu(alive)))["zero_product"] is None


def test_activations_of_the_same_size_are_not_its_time() -> None:
    square = torch.ones(WORDS, WORDS, requires_grad=True)

    def update(clock: StepClock) -> Tensor:
        hidden = one_hot() @ square
        for _ in range(4):
            hidden = hidden.tanh() @ square
        backward(clock, hidden.sum())
        return hidden

    found = operators(update, updates=2)
    assert 0 < found["zero_product"]["seconds_per_update"] < found["seconds"] / 2


def test_a_loss_whose_backward_takes_a_dtype_ends_no_watch() -> None:
    """`torch.dtype` has an attribute `is_floating_point`, as tensors do."""
    labels = torch.zeros(ROWS, dtype=torch.int64)
    matrix = one_hot()

    def update(clock: StepClock) -> Tensor:
        loss = functional.cross_entropy(matrix @ WEIGHTS, labels)
        backward(clock, loss)
        return loss

    found = operators(update)
    assert found["zero_product"] is not None
    assert found["denormal_seconds"] is not None


def test_a_dense_product_is_none() -> None:
    assert operators(update_with(torch.ones(ROWS, WORDS)))["zero_product"] is None

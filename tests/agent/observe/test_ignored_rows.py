"""Positions that the loss leaves out are counted, and the time on their scores with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from .test_operators import operators, update_by

ROWS, CLASSES, WIDTH = 64, 2048, 8
HIDDEN = torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(0))
LAYER = nn.Linear(WIDTH, CLASSES)
LABELS = torch.arange(ROWS) % CLASSES
MASKED = LABELS.masked_fill(LABELS % 8 != 0, -100)


def loss() -> Tensor:
    return functional.cross_entropy(LAYER(HIDDEN), MASKED)


def smoothed() -> Tensor:
    return functional.cross_entropy(LAYER(HIDDEN), MASKED, label_smoothing=0.1)


def of_rows() -> Tensor:
    scores = LAYER(HIDDEN).view(4, 16, CLASSES).transpose(1, 2)
    return functional.cross_entropy(scores, MASKED.view(4, 16))


@pytest.mark.parametrize("forward", [loss, smoothed, of_rows])
def test_positions_without_a_label_are_counted(forward: Callable[[], Tensor]) -> None:
    found = operators(update_by(forward), updates=2)["ignored"]
    assert (found["file"], found["function"], found["classes"]) == (__file__, forward.__name__, CLASSES)
    assert found["fraction"] == pytest.approx(7 / 8)
    scores = ROWS * CLASSES * 4
    assert found["bytes_per_update"] >= 5 * scores  # the layer, the log-softmax and its backward, the layer's backward
    assert found["seconds_per_update"] > 0


def test_where_each_has_a_label_the_fraction_is_nought() -> None:
    found = operators(update_by(lambda: functional.cross_entropy(LAYER(HIDDEN), LABELS)))["ignored"]
    assert found["fraction"] == 0


def test_few_scores_are_not_worth_a_look() -> None:
    assert operators(update_by(lambda: functional.cross_entropy(LAYER(HIDDEN)[:, :16], LABELS % 16)))["ignored"] is None

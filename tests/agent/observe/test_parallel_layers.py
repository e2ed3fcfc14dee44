"""Many layers that do not need each other are found; sequences, few and large layers, and loops over time are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from .test_operators import operators, update_by

COLUMNS = 24
INPUTS = torch.randn(8, COLUMNS, generator=torch.Generator().manual_seed(0))
ENCODERS = nn.ModuleList(nn.Linear(1, 4) for _ in range(COLUMNS))
SECOND = nn.ModuleList(nn.Linear(4, 4) for _ in range(COLUMNS))
UNBIASED = nn.ModuleList(nn.Linear(1, 4, bias=False) for _ in range(COLUMNS))
TABLES = nn.ModuleList(nn.Embedding(5 + column, 4) for column in range(COLUMNS))


def encoded() -> Tensor:
    return torch.cat([ENCODERS[column](INPUTS[:, column : column + 1]) for column in range(COLUMNS)], 1)


def twice() -> Tensor:
    found = []
    for column in range(COLUMNS):
        hidden = torch.relu(ENCODERS[column](INPUTS[:, column : column + 1]))
        found.append(SECOND[column](hidden))
    return torch.cat(found, 1)


def unbiased() -> Tensor:
    return torch.stack([layer(INPUTS[:, :1]) for layer in UNBIASED])


def looked_up() -> Tensor:
    rows = torch.arange(8) % 5
    return torch.cat([table(rows) for table in TABLES], 1)


@pytest.mark.parametrize(("forward", "lines"), [(encoded, 1), (twice, 2), (unbiased, 1), (looked_up, 1)])
def test_layers_that_do_not_need_each_other_are_found(forward: Callable[[], Tensor], lines: int) -> None:
    found = operators(update_by(forward), updates=2)["parallel"]
    assert len(found) == lines
    for each in found:
        assert each["file"] == __file__
        assert (each["layers"], each["calls_per_update"]) == (COLUMNS, COLUMNS)
        assert each["seconds_per_update"] > 0


def in_sequence() -> Tensor:
    hidden = INPUTS[:, :4]
    for layer in SECOND:
        hidden = hidden + torch.relu(layer(hidden))
    return hidden


def over_time() -> Tensor:
    return torch.stack([ENCODERS[0](INPUTS[:, column : column + 1]) for column in range(COLUMNS)])


def few() -> Tensor:
    return torch.cat([layer(INPUTS[:, :1]) for layer in list(ENCODERS)[:8]], 1)


def large() -> Tensor:
    return sum((LARGE_INPUT @ weight for weight in LARGE), torch.zeros(()))


LARGE_INPUT = torch.randn(512, 512)
LARGE = [torch.randn(512, 512).requires_grad_() for _ in range(16)]


@pytest.mark.parametrize("forward", [in_sequence, over_time, few, large])
def test_others_are_not(forward: Callable[[], Tensor]) -> None:
    assert operators(update_by(forward), updates=2)["parallel"] == []

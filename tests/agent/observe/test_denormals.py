"""Operators on denormal numbers are found by samples of what they take and give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from advisor.agent.observe.denormals import LEAST_ELEMENTS, is_denormal

from .test_operators import operators

SIZE = 64
TINY = 1e-39


def values(fraction: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.ones(100 * LEAST_ELEMENTS, dtype=dtype)
    made[torch.rand(len(made), generator=torch.Generator().manual_seed(0)) < fraction] = TINY
    return made


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (values(1.0), True),
        (values(0.02), True),
        (values(0.0001), False),
        (values(0.001), False),
        (torch.zeros(LEAST_ELEMENTS), False),
        (values(1.0)[: LEAST_ELEMENTS - 1], False),
        (values(1.0, dtype=torch.float64), False),
        (torch.full((LEAST_ELEMENTS,), 3, dtype=torch.int64), False),
        (torch.full((SIZE, SIZE), TINY).t()[::2], False),
    ],
    ids=[
        "all",
        "one in fifty",
        "one in ten thousand",
        "one in a thousand",
        "zeros",
        "small",
        "normal in float64",
        "integers",
        "strided",
    ],
)
def test_a_fraction_worth_having_is_seen(tensor: Tensor, found: bool) -> None:
    assert is_denormal(tensor) is found


@pytest.mark.parametrize("scale", [1.0, TINY])
def test_the_time_of_such_operators_is_told_with_their_names(scale: float) -> None:
    weights = torch.full((SIZE, SIZE), scale)

    def update(_clock: Any) -> Tensor:
        return torch.mm(weights, torch.eye(SIZE)).add(1.0)

    found = operators(update)
    if scale == TINY:
        assert found["denormal_seconds"] > 0
        assert found["denormal_slowdown"] > 0.3  # 1 on some CPUs, 100 on others
        assert set(found["denormal_operators"]) == {"mm", "add"}  # `add` only takes them
    else:
        assert found["denormal_seconds"] == 0
        assert found["denormal_operators"] == []
        assert found["denormal_slowdown"] is None


def test_lists_of_tensors_are_looked_into() -> None:
    states = [torch.ones(LEAST_ELEMENTS), torch.full((LEAST_ELEMENTS,), TINY)]
    found = operators(lambda _clock: torch._foreach_mul_(states, 0.5))
    assert found["denormal_operators"] == ["_foreach_mul_"]

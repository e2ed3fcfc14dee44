"""Long filters of single channels are found with both passes; short, dense and strided ones are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from .test_operators import operators, update_by

CHANNELS, LENGTH, TAPS = 4, 256, 96
SIGNAL = torch.randn(2, CHANNELS, LENGTH, generator=torch.Generator().manual_seed(0))
FILTERS = torch.randn(CHANNELS, 1, TAPS, generator=torch.Generator().manual_seed(1)).requires_grad_()
LAYER = nn.Conv1d(CHANNELS, CHANNELS, TAPS, groups=CHANNELS)


def causal() -> Tensor:
    return functional.conv1d(functional.pad(SIGNAL, (TAPS - 1, 0)), FILTERS, groups=CHANNELS)


def layer() -> Tensor:
    found: Tensor = LAYER(SIGNAL)
    return found


@pytest.mark.parametrize(("forward", "length"), [(causal, LENGTH + TAPS - 1), (layer, LENGTH)])
def test_long_filters_are_found(forward: Callable[[], Tensor], length: int) -> None:
    found = operators(update_by(forward), updates=2)["filters"]
    assert (found["file"], found["function"]) == (__file__, forward.__name__)
    assert (found["taps"], found["length"]) == (TAPS, length)
    whole = operators(update_by(forward), updates=2)
    assert 0.3 * whole["seconds"] < whole["filters"]["seconds_per_update"] <= whole["seconds"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda: functional.conv1d(SIGNAL, FILTERS[:, :, :32], groups=CHANNELS),
        lambda: functional.conv1d(SIGNAL, FILTERS.expand(CHANNELS, CHANNELS, TAPS)),
        lambda: functional.conv1d(SIGNAL, FILTERS, groups=CHANNELS, stride=TAPS),
        lambda: functional.conv_transpose1d(SIGNAL, FILTERS, groups=CHANNELS),
        lambda: FILTERS * 2,
    ],
    ids=["short", "dense", "strided", "transposed", "none"],
)
def test_others_are_not(forward: Callable[[], Tensor]) -> None:
    assert operators(update_by(forward), updates=2)["filters"] is None

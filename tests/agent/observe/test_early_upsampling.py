"""Enlarging before a 1×1 convolution is found; other orders and other convolutions are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from .test_operators import operators, update_by

CHANNELS, SIDE = 32, 16
FEATURES = torch.randn(1, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).requires_grad_()
CLASSIFIER, WIDER, WINDOWED = (
    nn.Conv2d(CHANNELS, 4, 1),
    nn.Conv2d(CHANNELS, 64, 1),
    nn.Conv2d(CHANNELS, 4, 3, padding=1),
)


def enlarged(mode: str = "bilinear") -> Tensor:
    return functional.interpolate(FEATURES, scale_factor=4, mode=mode)


def late() -> Tensor:
    return CLASSIFIER(enlarged())


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_enlarging_before_the_classifier_is_found(mode: str) -> None:
    found = operators(update_by(lambda: CLASSIFIER(enlarged(mode))), updates=2)["enlarged"]
    assert (found["file"], found["function"]) == (__file__, "<lambda>")
    assert (found["channels"], found["channels_after"], found["scale"]) == (CHANNELS, 4, 16.0)
    size = CHANNELS * (4 * SIDE) ** 2 * 4
    assert found["bytes_per_update"] >= 4 * size  # written, read, and both again in the backward
    assert found["seconds_per_update"] > 0


@pytest.mark.parametrize(
    "forward",
    [
        lambda: functional.interpolate(CLASSIFIER(FEATURES), scale_factor=4),
        lambda: CLASSIFIER(enlarged().relu()),
        lambda: WINDOWED(enlarged()),
        lambda: WIDER(enlarged()),
        lambda: CLASSIFIER(functional.interpolate(FEATURES, scale_factor=0.5)),
    ],
    ids=["afterwards", "an activation between", "a window", "more channels", "made smaller"],
)
def test_others_are_not(forward: Callable[[], Tensor]) -> None:
    assert operators(update_by(forward), updates=2)["enlarged"] is None

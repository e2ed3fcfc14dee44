"""Norms that real calls of torch's clipping find."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from advisor.agent.loop.clock import StepClock
from advisor.agent.observe import clipping
from advisor.agent.observe.clipping import ClippingWatch


@pytest.fixture
def watch() -> Iterator[ClippingWatch]:
    original = nn.utils.clip_grad_norm_
    found = ClippingWatch(StepClock())
    found.install()
    yield found
    found.remove()
    assert nn.utils.clip_grad_norm_ is original


def clip(norm: float, limit: float) -> torch.Tensor:
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([norm])
    return nn.utils.clip_grad_norm_([parameter], limit)


def test_norms_and_the_limit_are_kept(watch: ClippingWatch) -> None:
    assert [clip(norm, 1.0).item() for norm in (0.5, 2.0, 3.0)] == [0.5, 2.0, 3.0]
    assert watch.facts() == {"clip_limit": 1.0, "clip_norms": [0.5, 2.0, 3.0], "clipped": 2}


def test_a_limit_of_infinity_asks_for_the_norm_alone(watch: ClippingWatch) -> None:
    clip(2.0, float("inf"))
    assert watch.facts() == {}


def test_no_call_has_no_limit(watch: ClippingWatch) -> None:
    assert watch.facts() == {}


def test_a_long_training_keeps_few_norms_of_all_of_it(watch: ClippingWatch) -> None:
    for number in range(5 * clipping.KEPT):
        clip(float(number), 1.0)
    norms = watch.facts()["clip_norms"]
    assert len(norms) < clipping.KEPT
    assert norms[-1] > 4.5 * clipping.KEPT > clipping.KEPT > norms[0]


def test_calls_under_a_setting_are_left_out(watch: ClippingWatch) -> None:
    watch.on = False
    clip(2.0, 1.0)
    assert watch.facts() == {}

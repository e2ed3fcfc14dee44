"""Constants that each update builds anew are found, with their lines; what depends on anything else is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from advisor.agent.loop.clock import LOADING, StepClock
from advisor.agent.observe.trace import Tracer

from .test_operators import backward

SIZE = 64
WEIGHT = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0)).requires_grad_()
KEPT = torch.triu(torch.full((SIZE, SIZE), -torch.inf), 1)


class Holder(nn.Module):
    """A module with a buffer of frequencies, and one that each call moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.linspace(0.1, 1.0, SIZE))
        self.register_buffer("average", torch.ones(SIZE))


def found_in(update: Callable[[int], Tensor], updates: int = 3, model: nn.Module | None = None) -> list[dict[str, Any]]:
    """Return what is found in updates whose loss is the sum of what `update` gives for the number of the update."""
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    tracer.know_buffers([] if model is None else list(model.buffers()))
    for number in range(updates):
        backward(clock, update(number).sum())
        clock.end_update()
    tracer.stop()
    found: list[dict[str, Any]] = tracer.report()["operators"]["rebuilt"]
    return found


def mask(_number: int) -> Tensor:
    hidden = torch.triu(torch.full((SIZE, SIZE), -torch.inf), 1)
    return (WEIGHT + hidden).softmax(-1)


def table(_number: int) -> Tensor:
    positions = torch.arange(SIZE)
    angles = torch.outer(positions.float(), 1.0 / 10_000 ** (torch.arange(SIZE) / SIZE))
    return WEIGHT * angles.cos()


def of_a_buffer(model: Holder) -> Callable[[int], Tensor]:
    def update(_number: int) -> Tensor:
        return WEIGHT * torch.outer(torch.arange(SIZE).float(), model.frequencies).cos()

    return update


@pytest.mark.parametrize(("update", "lines"), [(mask, 1), (table, 3)])
def test_what_each_update_builds_is_found(update: Callable[[int], Tensor], lines: int) -> None:
    found = found_in(update)
    assert {(each["file"], each["function"]) for each in found} == {(__file__, update.__name__)}
    assert len(found) == lines
    assert all(each["seconds_per_update"] > 0 for each in found)
    assert sum(each["bytes_per_update"] for each in found) >= 4 * SIZE * SIZE
    assert [each["seconds_per_update"] for each in found] == sorted(
        (each["seconds_per_update"] for each in found), reverse=True
    )


def test_what_follows_from_a_buffer_is_found() -> None:
    model = Holder()
    (line,) = found_in(of_a_buffer(model), model=model)
    assert line["function"] == "update"
    assert line["bytes_per_update"] >= 8 * SIZE * SIZE  # the product and its cosine
    (without,) = found_in(of_a_buffer(model))
    assert without["bytes_per_update"] < line["bytes_per_update"] / 8  # only the positions


def test_masks_that_are_no_floating_numbers_are_found() -> None:
    found = found_in(lambda _number: WEIGHT.masked_fill(~torch.ones(SIZE, SIZE, dtype=torch.bool).tril(), 0.0))
    assert found[0]["bytes_per_update"] >= SIZE * SIZE


def moving(model: Holder) -> Tensor:
    scaled = model.average.pow(2).sqrt()
    model.average.mul_(0.9).add_(WEIGHT.detach().mean(0), alpha=0.1)
    return WEIGHT * scaled


def room(_number: int) -> Tensor:
    out = torch.zeros(SIZE, SIZE)
    out[:] = WEIGHT.detach() * 2
    return WEIGHT * out


@pytest.mark.parametrize(
    "update",
    [
        lambda _number: WEIGHT + KEPT,
        lambda _number: WEIGHT * torch.rand(SIZE, SIZE),
        lambda _number: functional.dropout(WEIGHT, 0.5),
        lambda number: WEIGHT * torch.full((SIZE, SIZE), 0.9**number),
        lambda _number: WEIGHT * torch.tensor([0.5] * SIZE),  # numbers that come from Python may be data
        room,
    ],
    ids=["kept", "random", "dropout", "another each time", "from Python", "room for a result"],
)
def test_what_depends_on_something_is_not(update: Callable[[int], Tensor]) -> None:
    assert found_in(update) == []


def test_a_buffer_that_moves_is_no_constant() -> None:
    model = Holder()
    assert found_in(lambda _number: moving(model), model=model) == []


def test_a_batch_where_a_constant_was_is_none() -> None:
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    for _ in range(3):
        torch.ones(SIZE, SIZE)
        clock.end_update()
        clock.push(LOADING[0])
        batch = torch.randn(SIZE, SIZE)  # in the memory of that constant
        clock.pop()
        doubled = batch * 2
        backward(clock, (WEIGHT * doubled).sum())
        del batch, doubled
    tracer.stop()
    (line,) = tracer.report()["operators"]["rebuilt"]
    assert line["bytes_per_update"] == 4 * SIZE * SIZE  # that of the ones


def test_one_update_shows_no_repetition() -> None:
    assert found_in(mask, updates=1) == []
    assert found_in(lambda number: WEIGHT + (KEPT if number else mask(number).detach())) == []

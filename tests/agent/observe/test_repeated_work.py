"""Work that one forward repeats is found with both lines; what only looks alike is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from advisor.agent.loop.clock import LOADING, StepClock
from advisor.agent.observe.trace import Tracer

from .test_operators import backward

SIZE = 64
POINTS = torch.randn(SIZE, 3, generator=torch.Generator().manual_seed(0))
WEIGHT = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_()
OTHER = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def found_in(update: Callable[[StepClock], Tensor], updates: int = 2) -> list[dict[str, Any]]:
    clock = StepClock()
    tracer = Tracer(clock)
    tracer.start()
    for _ in range(updates):
        backward(clock, update(clock).sum())
        clock.end_update()
    tracer.stop()
    found: list[dict[str, Any]] = tracer.report()["operators"]["repeated"]
    return found


def neighbours(points: Tensor) -> Tensor:
    return torch.cdist(points, points).topk(4, largest=False).indices


def test_neighbours_that_each_layer_looks_for_again() -> None:
    def forward(_clock: StepClock) -> Tensor:
        rows = WEIGHT
        for _ in range(3):
            rows = (rows @ OTHER)[neighbours(POINTS)].mean(1)
        return rows

    (line,) = found_in(forward)
    assert (line["file"], line["function"]) == (__file__, "neighbours")
    assert (line["first_file"], line["first_line"]) == (__file__, line["line"])
    assert line["seconds_per_update"] > 0
    assert line["bytes_per_update"] >= 2 * 4 * SIZE * SIZE  # the distances of the second and the third layer


def test_features_that_a_second_line_computes_again() -> None:
    net = nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU(inplace=True), nn.Linear(SIZE, SIZE))

    def forward(_clock: StepClock) -> Tensor:
        first = net(OTHER).mean()
        second = net(OTHER).std()
        return first + second

    (line,) = found_in(forward)
    assert line["line"] == line["first_line"] + 1
    assert line["bytes_per_update"] > 3 * 2 * 4 * SIZE * SIZE


def written(_clock: StepClock) -> Tensor:
    room = torch.zeros(SIZE, SIZE)
    first = room @ OTHER
    room[0] = OTHER[0]
    return WEIGHT * first * (room @ OTHER)


def of_numpys_memory(_clock: StepClock) -> Tensor:
    state, total = numpy.zeros((SIZE, SIZE), dtype=numpy.float32), WEIGHT * 0
    shared = torch.from_numpy(state)
    for step in range(3):
        state[:] = step
        total = total + shared @ WEIGHT
    return total


def another_batch(clock: StepClock) -> Tensor:
    product = OTHER @ OTHER
    mean = product.mean()
    del product
    clock.push(LOADING[0])
    batch = torch.randn(SIZE, SIZE)  # in the memory of that product
    clock.pop()
    return WEIGHT * mean * batch.mean()


def micro_steps(clock: StepClock) -> Tensor:
    backward(clock, (WEIGHT @ OTHER).sum())
    return WEIGHT @ OTHER


@pytest.mark.parametrize(
    "forward",
    [
        lambda _clock: WEIGHT @ OTHER + WEIGHT.t() @ OTHER,
        lambda _clock: torch.add(WEIGHT, OTHER, alpha=2) + torch.add(WEIGHT, OTHER, alpha=3),
        lambda _clock: OTHER.to(torch.float64) + OTHER.to(torch.bfloat16) + WEIGHT,
        lambda _clock: WEIGHT[:8] @ OTHER + WEIGHT[8:16] @ OTHER,
        lambda _clock: functional.dropout(WEIGHT, 0.5) @ OTHER + functional.dropout(WEIGHT, 0.5) @ OTHER,
        lambda _clock: torch.zeros(SIZE, SIZE) + WEIGHT + torch.zeros(SIZE, SIZE).fill_(1.0),
        written,
        of_numpys_memory,
        another_batch,
        micro_steps,
    ],
    ids=[
        "transposed",
        "another factor",
        "another dtype",
        "other rows",
        "dropout",
        "room",
        "written meanwhile",
        "written by NumPy",
        "another batch",
        "another micro-step",
    ],
)
def test_what_looks_alike_is_not(forward: Callable[[StepClock], Tensor]) -> None:
    assert found_in(forward) == []

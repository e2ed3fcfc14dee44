"""Gradients behind all that are used, reset before their optimizer steps, are found; those of a step are not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advisor.agent.loop.clock import StepClock
from advisor.agent.observe.thrown_gradients import ThrownGradients
from advisor.agent.observe.trace import Tracer

WIDTH = 32


class Maker(nn.Sequential):
    """Makes pictures."""


class Gan:
    """Two models with an optimizer each, and the parts of their updates."""

    def __init__(self, set_to_none: bool = True) -> None:
        self.maker = Maker(nn.Linear(WIDTH, 8 * WIDTH), nn.ReLU(), nn.Linear(8 * WIDTH, WIDTH))
        self.judge = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        self.of_maker, self.of_judge = (torch.optim.SGD(one.parameters(), 0.01) for one in (self.maker, self.judge))
        self.set_to_none = set_to_none

    def made(self) -> Tensor:
        made: Tensor = self.maker(torch.randn(64, WIDTH))
        return made

    def judges(self, made: Tensor) -> None:
        self.judge.zero_grad(set_to_none=self.set_to_none)
        self.judge(torch.randn(64, WIDTH)).mean().backward()
        self.judge(made).mean().backward()
        self.of_judge.step()

    def makes(self, made: Tensor) -> None:
        self.maker.zero_grad(set_to_none=self.set_to_none)
        self.judge(made).mean().backward()
        self.of_maker.step()


def found_in(gan: Gan, update: Callable[[], None], updates: int = 3) -> dict[str, Any] | None:
    tracer = Tracer(StepClock())
    watch = ThrownGradients(threading.get_ident, lambda: tracer.operators.total_ns)
    tracer.start()
    watch.start([gan.of_judge, gan.of_maker])
    for _ in range(updates):
        update()
    watch.stop()
    tracer.stop()
    found: dict[str, Any] | None = watch.report(updates, [gan.judge, gan.maker])["thrown"]
    assert not any(
        parameter._post_accumulate_grad_hooks for model in (gan.maker, gan.judge) for parameter in model.parameters()
    )
    return found


@pytest.mark.parametrize("set_to_none", [True, False])
def test_pictures_that_are_not_detached_take_the_backward_through_their_maker(set_to_none: bool) -> None:
    gan = Gan(set_to_none)

    def update() -> None:
        gan.judges(gan.made())
        gan.makes(gan.made())

    found = found_in(gan, update)
    assert found is not None
    assert (found["file"], found["function"], found["model"]) == (__file__, "judges", "Maker")
    assert found["backwards_per_update"] == 1  # that of the real pictures does not reach the maker
    assert found["seconds_per_update"] > 0


def test_one_batch_of_pictures_for_both() -> None:
    gan = Gan()

    def update() -> None:
        made = gan.made()
        gan.judge.zero_grad()
        gan.judge(made).mean().backward(retain_graph=True)
        gan.of_judge.step()
        gan.maker.zero_grad()
        made.mean().backward()
        gan.of_maker.step()

    found = found_in(gan, update)
    assert found is not None
    assert found["model"] == "Maker"


def test_detached_pictures_waste_nothing() -> None:
    gan = Gan()

    def update() -> None:
        gan.judges(gan.made().detach())
        gan.makes(gan.made())

    # The judge's gradients in the maker's step are reset, too, but those of the maker come after them.
    found = found_in(gan, update)
    assert found is None or found["seconds_per_update"] < 1e-4


def test_gradients_that_both_losses_add_to_are_used() -> None:
    gan = Gan()

    def update() -> None:
        gan.maker.zero_grad()
        gan.judge.zero_grad()
        made = gan.made()
        gan.judge(made).mean().backward(retain_graph=True)
        (made - 1).pow(2).mean().backward()
        gan.of_judge.step()
        gan.of_maker.step()

    assert found_in(gan, update) is None


def test_one_optimizer_throws_nothing_away() -> None:
    gan = Gan()
    watch = ThrownGradients(threading.get_ident, lambda: 0)
    watch.start([gan.of_judge])
    gan.judges(gan.made())
    watch.stop()
    assert watch.report(1, [])["thrown"] is None

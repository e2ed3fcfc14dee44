"""What a micro-step and an update are."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from advisor.agent.loop.clock import BACKWARD, OPTIMIZER, OTHER, StepClock, Update
from advisor.agent.loop.steps import BACKWARDS_WITHOUT_OPTIMIZER, STEPS_OF_OTHERS, Steps


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Steps, list[Update]]]:
    """Steps installed into this process, and taken out again with its hooks."""
    handles: list[Any] = []
    module = importlib.import_module("torch.optim.optimizer")
    for name in ("pre", "post"):
        register = getattr(module, f"register_optimizer_step_{name}_hook")
        monkeypatch.setattr(
            module,
            f"register_optimizer_step_{name}_hook",
            lambda hook, register=register: handles.append(register(hook)),
        )
    clock, updates = StepClock(), []
    clock.on_update = updates.append
    steps = Steps(clock)
    steps.install()
    yield steps, updates
    steps.suspend()
    for handle in handles:
        handle.remove()


def _loss(model: nn.Module) -> torch.Tensor:
    return model(torch.randn(4, 3)).square().mean()


def _trained(count: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(count):
        _loss(model).backward()
        optimizer.step()


def test_an_update_ends_with_the_optimizers_step(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    _trained(3, model, torch.optim.SGD(model.parameters()))
    assert [update.micro_steps for update in watched[1]] == [1, 1, 1]


def test_backwards_before_a_step_are_its_micro_steps(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    for _ in range(24):
        _loss(model).backward()
    optimizer.step()
    assert [update.micro_steps for update in watched[1]] == [24]


def test_two_backwards_of_one_forward_are_one_micro_step(watched: tuple[Steps, list[Update]]) -> None:
    steps, updates = watched
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    steps.forward_seen = True
    loss = _loss(model)
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    assert updates[0].micro_steps == 1
    assert (steps.retains_graph, steps.repeated_backwards) == (True, 1)


def test_backwards_of_several_forwards_repeat_nothing(watched: tuple[Steps, list[Update]]) -> None:
    steps, _updates = watched
    model = nn.Linear(3, 2)
    for _ in range(3):
        steps.forward_seen = True
        _loss(model).backward(retain_graph=True)
    assert steps.repeated_backwards == 0


@pytest.mark.parametrize(
    "between",
    [
        lambda model, optimizer: optimizer.zero_grad(),
        lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
        lambda model, optimizer: torch.optim.SGD([model.bias]).step(),
    ],
)
def test_backwards_whose_gradients_are_kept_apart_repeat_nothing(
    watched: tuple[Steps, list[Update]], between: Callable[[nn.Linear, torch.optim.Optimizer], None]
) -> None:
    """PCGrad takes the gradients of each loss; an actor and its critic step after backwards of their own."""
    steps, _updates = watched
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    _trained(1, model, optimizer)
    steps.forward_seen = True
    loss = _loss(model)
    loss.backward(retain_graph=True)
    between(model, optimizer)
    loss.backward()
    assert (steps.retains_graph, steps.repeated_backwards) == (True, 0)
    loss = _loss(model)
    steps.forward_seen = True
    loss.backward(retain_graph=True)
    loss.backward()
    assert steps.repeated_backwards == 1


def test_without_an_optimizer_a_backward_ends_the_update(
    watched: tuple[Steps, list[Update]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.agent.loop.steps.all_optimizers", list)  # other tests may have left one
    model = nn.Linear(3, 2)
    for _ in range(BACKWARDS_WITHOUT_OPTIMIZER + 5):
        _loss(model).backward()
    assert [update.micro_steps for update in watched[1]] == [BACKWARDS_WITHOUT_OPTIMIZER + 1, 1, 1, 1, 1]


def test_the_optimizer_with_most_parameters_ends_updates(watched: tuple[Steps, list[Update]]) -> None:
    small, large = nn.Linear(3, 2), nn.Linear(3, 20)
    one, other = torch.optim.SGD(small.parameters()), torch.optim.SGD(large.parameters())
    for _ in range(4):
        for model, optimizer in ((small, one), (large, other)):
            _loss(model).backward()
            optimizer.step()
    assert [update.micro_steps for update in watched[1][2:]] == [2, 2, 2]


def test_another_optimizer_ends_updates_once_the_main_one_is_done(watched: tuple[Steps, list[Update]]) -> None:
    small, large = nn.Linear(3, 2), nn.Linear(3, 20)
    first, second = torch.optim.SGD(large.parameters()), torch.optim.SGD(small.parameters())
    _trained(5, large, first)
    _trained(STEPS_OF_OTHERS + 10, small, second)
    assert len(watched[1]) == 5 + 10


def test_a_closure_that_is_none_is_none(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    _loss(model).backward()
    optimizer.step(None)
    assert not watched[0].closures_seen


def test_a_closure_is_forward_and_backward_inside_the_step(watched: tuple[Steps, list[Update]]) -> None:
    steps, updates = watched
    model = nn.Linear(3, 2)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)

    def closure() -> float:
        optimizer.zero_grad()
        loss = _loss(model)
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    assert (steps.closures_seen, len(updates), updates[0].micro_steps >= 1) == (True, 1, True)
    assert updates[0].phases_ns[BACKWARD] > 0
    assert updates[0].phases_ns[OPTIMIZER] > 0


def test_the_scripts_own_code_in_a_closure_is_not_the_optimizers(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())

    def closure() -> torch.Tensor:
        time.sleep(0.05)
        loss = _loss(model)
        loss.backward()
        return loss

    for step in (lambda: optimizer.step(closure), lambda: optimizer.step(closure=closure)):
        step()
        phases_ns = watched[1][-1].phases_ns
        assert (phases_ns[OTHER] >= 50e6, phases_ns[OPTIMIZER] < 25e6) == (True, True)


def test_a_closure_that_raises_leaves_no_phase_open(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / 0)
    _trained(1, model, optimizer)
    assert watched[0]._clock.depth == 1


def test_a_backward_that_raises_leaves_no_phase_open(watched: tuple[Steps, list[Update]]) -> None:
    with pytest.raises(RuntimeError):
        torch.ones(1).backward()
    assert watched[0]._clock.depth == 1


def test_after_a_step_that_raised_the_next_one_leaves_no_phase_open(watched: tuple[Steps, list[Update]]) -> None:
    steps, updates = watched
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters())
    _trained(1, model, optimizer)
    optimizer.param_groups[0]["lr"] = None
    with pytest.raises(TypeError):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    _trained(2, model, optimizer)
    assert (steps._clock.depth, len(updates), updates[-1].micro_steps) == (1, 3, 1)


def test_suspended_it_leaves_torch_as_it_was(watched: tuple[Steps, list[Update]]) -> None:
    steps, _ = watched
    steps.suspend()
    found = [torch.autograd.backward, torch.autograd.grad, torch.optim.Optimizer.zero_grad]
    assert [function.__module__ for function in found] == ["torch.autograd", "torch.autograd", "torch.optim.optimizer"]
    assert not any(hasattr(function, "__wrapped__") for function in found[:2])


def test_an_optimizer_made_anew_each_epoch_keeps_ending_updates(watched: tuple[Steps, list[Update]]) -> None:
    model = nn.Linear(3, 2)
    kept = []
    for _ in range(3):
        kept.append(torch.optim.SGD(model.parameters()))
        _trained(2, model, kept[-1])
    assert len(watched[1]) == 6

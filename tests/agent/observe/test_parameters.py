"""Parameters without gradients or without an optimizer, in real trainings of a few updates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from advisor.agent.observe.parameters import LEAST_STEPS, ParameterWatch


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.unused = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.relu(self.body(x)))
        return out


def watched(model: nn.Module, optimizer: torch.optim.Optimizer, *, steps: int = 8, by_hand: Any = None) -> Any:
    watch = ParameterWatch()
    owned = {id(each) for group in optimizer.param_groups for each in group["params"]}
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 4)).square().mean().backward()
        optimizer.step()
        watch.scan([model], [optimizer], owned)
        if by_hand is not None:
            by_hand()
    facts = watch.facts([model], [model], [(optimizer, SimpleNamespace(steps=steps))])
    return SimpleNamespace(**facts)


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda p: torch.optim.SGD(p, 0.1)], ids=["AdamW", "SGD"])
def test_a_layer_that_is_not_called_is_dead(make: Any) -> None:
    model = Net()
    facts = watched(model, make(model.parameters()))
    assert facts.dead == ["unused.weight", "unused.bias"]
    assert (facts.dead_elements, facts.orphan_elements) == (15, 0)


def test_few_steps_say_nothing() -> None:
    model = Net()
    assert watched(model, torch.optim.AdamW(model.parameters()), steps=LEAST_STEPS - 1).dead == []


def test_a_layer_that_was_used_once_is_not_dead() -> None:
    """No scan saw its gradient, but the optimizer keeps a state for it."""
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    model.unused(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    assert watched(model, optimizer).dead == []


def test_a_replaced_head_is_unowned_and_the_old_one_an_orphan() -> None:
    model = Net()
    optimizer = torch.optim.AdamW([*model.body.parameters(), *model.head.parameters()])
    model.head = nn.Linear(8, 5)
    facts = watched(model, optimizer)
    assert facts.unowned == ["head.weight", "head.bias"]
    assert (facts.unowned_elements, facts.orphan_elements) == (45, 18)


def test_what_a_second_optimizer_owns_is_not_unowned() -> None:
    model = Net()
    other = torch.optim.SGD(model.head.parameters(), 0.1)
    facts = watched(model, torch.optim.AdamW(model.body.parameters()))
    assert facts.unowned == []
    assert other is not None


def test_what_the_script_updates_by_hand_is_not_unowned() -> None:
    model = Net()

    def by_hand() -> None:
        with torch.no_grad():
            for each in model.head.parameters():
                each.sub_(0.01 * each.grad)

    assert watched(model, torch.optim.AdamW(model.body.parameters()), by_hand=by_hand).unowned == []


def test_a_frozen_layer_in_the_optimizer_is_named_and_not_dead() -> None:
    model = Net()
    model.unused.requires_grad_(False)
    facts = watched(model, torch.optim.AdamW(model.parameters()))
    assert (facts.frozen_owned, facts.frozen_owned_elements) == (["unused.weight", "unused.bias"], 15)
    assert facts.dead == []

"""Hooks of a script are counted wherever they are registered."""

from __future__ import annotations

import torch
from torch import nn

from advisor.agent.observe.environments import any_environment
from advisor.agent.observe.hook_count import count_hooks


def test_hooks_on_modules_parameters_and_optimizers_are_counted_and_removed_ones_are_not() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = count_hooks([net], [optimizer])
    handles = [
        net[0].register_forward_hook(lambda *_: None),
        net[1].register_forward_pre_hook(lambda *_: None),
        net.register_full_backward_hook(lambda *_: None),
        net[0].weight.register_hook(lambda gradient: gradient),
        optimizer.register_step_post_hook(lambda *_: None),
    ]
    assert count_hooks([net], [optimizer]) - before == 5
    for handle in handles:
        handle.remove()
    assert count_hooks([net], [optimizer]) == before


def test_a_shared_module_counts_once() -> None:
    net = nn.Linear(4, 4)
    net.register_forward_hook(lambda *_: None)
    assert count_hooks([net, nn.Sequential(net)], []) == 1


class Maze:
    def reset(self) -> int:
        return 0

    def step(self, action: int) -> int:
        return action


def test_an_object_that_is_reset_and_stepped_is_an_environment() -> None:
    before = any_environment()
    maze = Maze()
    maze.at = 0  # type: ignore[attr-defined]  # the collector knows objects with attributes only
    assert any_environment()
    assert maze.reset() == 0
    assert not before

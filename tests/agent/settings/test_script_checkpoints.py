"""The script's own checkpoints: counted, and passed over with the same training to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from advisor.agent.settings.checkpointing import _contexts
from advisor.agent.settings.script_checkpoints import CheckpointedCalls, ScriptCheckpoints
from advisor.refused import Refused

UPDATES = 4


class NotCompiling:
    on = False


class Compiling:
    on = True


class Net(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 1)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(0.5)) for _ in range(3))
        self.reentrant = reentrant
        self.block_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = checkpoint(self.run, block, x, use_reentrant=self.reentrant)
        return self.last(x)  # type: ignore[no-any-return]

    def run(self, block: nn.Module, x: Tensor) -> Tensor:
        self.block_calls += 1
        return block(x)  # type: ignore[no-any-return]


@pytest.fixture
def skipping() -> Iterator[ScriptCheckpoints]:
    found = ScriptCheckpoints(NotCompiling())  # type: ignore[arg-type]
    yield found
    found.restore()


def trained(reentrant: bool, between: Any = None) -> tuple[Net, list[float]]:
    torch.manual_seed(0)
    net, losses = Net(reentrant), []
    optimizer = torch.optim.Adam(net.parameters())
    for number in range(UPDATES):
        if between is not None:
            between(number)
        loss = net(torch.randn(5, 8)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return net, losses


@pytest.mark.parametrize("reentrant", [False, True])
def test_activations_are_kept_and_the_training_stays_the_same(reentrant: bool, skipping: ScriptCheckpoints) -> None:
    def switch(number: int) -> None:
        if number == 1:
            skipping.skip()
        elif number == 3:
            skipping.restore()

    as_written, losses = trained(reentrant)
    kept, same = trained(reentrant, switch)
    assert same == losses
    assert all(torch.equal(a, b) for a, b in zip(as_written.parameters(), kept.parameters(), strict=True))
    assert as_written.block_calls == 2 * 3 * UPDATES
    assert kept.block_calls == 2 * 3 * 2 + 3 * 2


def test_a_reentrant_checkpoint_that_trains_nothing_goes_on_so(skipping: ScriptCheckpoints) -> None:
    layer = nn.Linear(4, 4)
    skipping.skip()
    with pytest.warns(UserWarning, match="None of the inputs have requires_grad"):
        out = checkpoint(layer, torch.ones(2, 4), use_reentrant=True)
    assert not out.requires_grad


def test_an_error_of_the_script_passes_through(skipping: ScriptCheckpoints) -> None:
    def fails(_x: Tensor) -> Tensor:
        raise KeyError("of the script")

    skipping.skip()
    with pytest.raises(KeyError, match="of the script"):
        checkpoint(fails, torch.ones(2, requires_grad=True), use_reentrant=False)


def test_contexts_of_the_script_are_kept(skipping: ScriptCheckpoints) -> None:
    entered = []

    def contexts() -> Any:
        entered.append(1)
        return torch.no_grad(), torch.enable_grad()

    skipping.skip()
    checkpoint(torch.sin, torch.ones(2, requires_grad=True), use_reentrant=False, context_fn=contexts)
    assert entered


def test_compiled_code_is_refused() -> None:
    with pytest.raises(Refused, match="compile"):
        ScriptCheckpoints(Compiling()).skip()  # type: ignore[arg-type]


@pytest.mark.parametrize("reentrant", [False, True])
def test_the_scripts_checkpoints_are_counted_and_ours_are_not(reentrant: bool) -> None:
    calls = CheckpointedCalls()
    calls.watch()
    try:
        trained(reentrant)
        assert calls.count == 3 * UPDATES
        ours = _contexts(nn.Linear(1, 1))
        checkpoint(torch.sin, torch.ones(2, requires_grad=True), use_reentrant=False, context_fn=ours)
        assert calls.count == 3 * UPDATES
    finally:
        calls.remove()
    trained(reentrant)
    assert calls.count == 3 * UPDATES

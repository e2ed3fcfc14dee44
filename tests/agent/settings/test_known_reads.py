"""Reads that are answered with the last value known: a tensor that waits 30 ms stands for one on a device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import DATA_WAIT, StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.known_reads import KnownReads
from advisor.agent.settings.precision import Precision
from advisor.whatif.no_sync import WHAT_IF

WAIT_S = 0.03


class Loop:
    """Updates of a script, with reads that can be answered."""

    def __init__(self) -> None:
        self.clock = StepClock()
        self.reads = KnownReads(self.clock)
        self.values: list[Any] = []

    def run(self, update: Any, updates: int = 4) -> float:
        """Return the seconds that the last update took."""
        for number in range(updates):
            begin_s = time.perf_counter()
            update(torch.tensor(float(number)), self)
            self.clock.end_update()
        return time.perf_counter() - begin_s


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    for name in ("item", "cpu", "tolist", "__float__", "__int__", "__bool__"):
        plain = getattr(torch.Tensor, name)

        def waits(tensor: Any, plain: Any = plain) -> Any:
            time.sleep(WAIT_S)
            return plain(tensor)

        monkeypatch.setattr(torch.Tensor, name, waits)
    made = Loop()
    made.reads.answer(True)
    yield made
    made.reads.answer(False)


def by_item(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append(loss.item())


def by_float(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append(float(loss))


def by_tolist(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append(loss.reshape(1).tolist())


def by_cpu(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append(loss.cpu())


def by_format(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append(f"{loss:.1f}")


def by_condition(loss: torch.Tensor, loop: Loop) -> None:
    loop.values.append("large" if loss > 1.5 else "small")


@pytest.mark.parametrize("update", [by_item, by_float, by_tolist, by_cpu, by_format, by_condition])
def test_a_read_waits_once_and_then_never(update: Any, loop: Loop) -> None:
    assert loop.run(update) < WAIT_S
    assert len(loop.values) == 4
    assert len({str(value) for value in loop.values}) == 1
    assert loop.reads.answered == 3


def test_reads_are_real_again_afterwards(loop: Loop) -> None:
    loop.reads.answer(False)
    assert loop.run(by_item) >= WAIT_S
    assert loop.values == [0.0, 1.0, 2.0, 3.0]


def test_places_do_not_share_their_values(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        loop.values.append((loss.item(), (loss + 10).item(), [(loss + add).item() for add in (20, 30)]))

    loop.run(update)
    assert loop.values == [(0.0, 10.0, [20.0, 30.0])] * 4


def test_a_loop_until_convergence_ends(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        left = 3.0 + loss
        while left.item() > 0:
            left -= 1
        loop.values.append(float(left))

    loop.run(update, updates=3)
    assert len(loop.values) == 3


def test_whole_numbers_that_may_be_shapes_are_true(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        length = loss.long().item()
        loop.values.append((length, torch.zeros(9)[: int(loss.long() + 1)].numel()))
        loop.values.append(torch.zeros(loss.long().item()).numel())

    loop.run(update)
    assert loop.values == [(0, 1), 0, (1, 2), 1, (2, 3), 2, (3, 4), 3]


def test_whole_numbers_that_are_added_up_need_not_be(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        correct = 0
        correct += (loss > 1).sum().item()
        loop.values.append(correct)

    assert loop.run(update) < WAIT_S
    assert loop.values == [0, 0, 0, 0]


def test_a_copy_in_the_graph_is_real(loop: Loop) -> None:
    weight = torch.ones(1, requires_grad=True)

    def update(loss: torch.Tensor, loop: Loop) -> None:
        (weight * loss).cpu().sum().backward()

    loop.run(update)
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.tensor([6.0]))


def test_a_copy_may_be_changed(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        value = loss.cpu()
        value += 5
        loop.values.append(torch.Tensor.__repr__(value))

    loop.run(update)
    assert set(loop.values) == {"tensor(5.)"}


def test_the_loaders_own_reads_are_real(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        loop.clock.push(DATA_WAIT)
        loop.values.append(loss.item())
        loop.clock.pop()

    loop.run(update)
    assert loop.values == [0.0, 1.0, 2.0, 3.0]


def test_torchs_own_reads_are_real(loop: Loop) -> None:
    """Clipping and optimizers decide by values: `clip_grad_norm_` with `error_if_nonfinite` reads one."""
    weight = torch.ones(2, requires_grad=True)

    def update(loss: torch.Tensor, loop: Loop) -> None:
        weight.grad = torch.full((2,), float("nan") if len(loop.values) == 2 else 1.0)
        loop.values.append(0)
        torch.nn.utils.clip_grad_norm_([weight], 1.0, error_if_nonfinite=True)

    with pytest.raises(RuntimeError, match="non-finite"):
        loop.run(update)
    assert loop.reads.answered == 0


def test_a_shape_that_changes_is_read_again(loop: Loop) -> None:
    def update(loss: torch.Tensor, loop: Loop) -> None:
        loop.values.append(len(torch.ones(len(loop.values) + 1).tolist()))

    loop.run(update)
    assert loop.values == [1, 2, 3, 4]


def test_the_what_if_leaves_the_training_as_it_is() -> None:
    """No value that the script reads for its logs goes into its updates: the weights are bitwise equal."""

    def trained(answered: bool) -> list[torch.Tensor]:
        torch.manual_seed(0)
        clock = StepClock()
        controls = Controls(clock, Roots(clock), Steps(clock), LoaderHooks(clock), Precision(Roots(clock)))
        model = torch.nn.Linear(8, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        if answered:
            WHAT_IF.enter(controls)
        total = 0.0
        for _ in range(5):
            loss = model(torch.randn(4, 8)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
            clock.end_update()
        if answered:
            assert controls.reads.answered == 4
            WHAT_IF.leave(controls)
        return [parameter.detach().clone() for parameter in model.parameters()]

    assert WHAT_IF.enter is not None
    assert WHAT_IF.leave is not None
    for plain, answered in zip(trained(False), trained(True), strict=True):
        assert torch.equal(plain, answered)

"""Copies to an accelerator as a phase; `meta` stands for the device that is not here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from advisor.agent.loop import copies
from advisor.agent.loop.clock import HOST_TO_DEVICE, StepClock

HOST = torch.ones(4)


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Phases pushed while the copies are watched."""
    monkeypatch.setattr(copies, "_STAYS", ("cpu",))
    clock = StepClock()
    phases: list[int] = []
    monkeypatch.setattr(clock, "push", phases.append)
    monkeypatch.setattr(clock, "pop", lambda: None)
    watch = copies.HostToDevice(clock)
    watch.install()
    yield phases
    watch.remove()


@pytest.mark.parametrize(
    "copy",
    [
        lambda: HOST.to("meta"),
        lambda: HOST.to(torch.device("meta")),
        lambda: HOST.to(device="meta", dtype=torch.float64),
        lambda: HOST.to(torch.empty(1, device="meta")),
        lambda: torch.empty(4, device="meta").copy_(HOST),
    ],
)
def test_a_copy_off_the_host_is_a_phase(pushed: list[int], copy: Callable[[], Any]) -> None:
    assert copy().device.type == "meta"
    assert pushed == [HOST_TO_DEVICE]


@pytest.mark.parametrize(
    "call",
    [
        lambda: HOST.to("cpu"),
        lambda: HOST.to(torch.float64),
        lambda: HOST.to(HOST),
        lambda: HOST.clone().copy_(HOST),
        lambda: torch.empty(4, device="meta").to(torch.float64),
    ],
)
def test_anything_else_is_none(pushed: list[int], call: Callable[[], Any]) -> None:
    call()
    assert pushed == []


def test_cuda_of_a_host_tensor_is_a_copy_though_it_fails_here(pushed: list[int]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a device here")
    with pytest.raises((RuntimeError, AssertionError)):
        HOST.cuda()
    assert pushed == [HOST_TO_DEVICE]


def test_compiled_code_is_compiled_as_before(pushed: list[int]) -> None:
    torch._dynamo.reset()
    function = torch.compile(lambda tensor: tensor.to(torch.float64) + 1, backend="eager", fullgraph=True)
    assert function(HOST).dtype == torch.float64
    torch._dynamo.reset()


def test_everything_is_restored_exactly() -> None:
    before = dict(vars(torch.Tensor))
    watch = copies.HostToDevice(StepClock())
    watch.install()
    changed = dict(vars(torch.Tensor)) != before
    watch.remove()
    assert changed
    assert dict(vars(torch.Tensor)) == before

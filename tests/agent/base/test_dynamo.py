"""Dynamo compiles the user's functions and never ours."""

from __future__ import annotations

import io

import torch
import torch._dynamo
import torch._dynamo.trace_rules

from advisor.agent.base import dynamo
from advisor.agent.loop import clock as clock_module
from advisor.agent.loop.clock import LOGGING, StepClock, Update
from advisor.agent.loop.off_step import OffStep


def test_our_functions_are_skipped() -> None:
    dynamo.hide()
    assert torch._dynamo.trace_rules.check(StepClock.push)


def test_a_users_function_is_not() -> None:
    dynamo.hide()
    assert not torch._dynamo.trace_rules.check(test_a_users_function_is_not)


def test_hiding_twice_adds_nothing() -> None:
    dynamo.hide()
    before = list(torch._dynamo.trace_rules.SKIP_DIRS)
    dynamo.hide()
    assert before == torch._dynamo.trace_rules.SKIP_DIRS


def test_a_print_in_a_compiled_function_is_still_timed_at_every_call() -> None:
    torch._dynamo.reset()
    clock = StepClock()
    updates: list[Update] = []
    clock.on_update = updates.append
    off_step = OffStep(clock)
    off_step.install()
    file = io.StringIO()

    @torch.compile(backend="eager")
    def step(tensor: torch.Tensor) -> torch.Tensor:
        print(tensor.sum(), file=file)
        return tensor + 1

    try:
        for _ in range(3):
            step(torch.ones(2))
            clock.end_update()
    finally:
        off_step.remove()
        torch._dynamo.reset()
    assert all(update.phases_ns[LOGGING] > 0 for update in updates)
    assert len({update.phases_ns[LOGGING] for update in updates}) == 3
    assert clock_module.PHASE_NAMES[clock.phase] == "other"

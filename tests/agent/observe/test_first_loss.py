"""The loss of the first update is told only where later updates show the same loss."""

from __future__ import annotations

import pytest
import torch

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.roots import Roots
from advisor.agent.loop.steps import Steps
from advisor.agent.observe.learning import LearningWatch
from advisor.agent.settings.controls import Controls
from advisor.agent.settings.precision import Precision


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


@pytest.mark.parametrize(("first", "later", "known"), [((0.03,), (0.5,), 0.03), ((0.5, 0.03), (0.5,), None)])
def test_two_backwards_in_the_first_update_only(
    clock: StepClock, first: tuple[float, ...], later: tuple[float, ...], known: float | None
) -> None:
    """The first forward is not known yet: a second loss counts there, and is no beginning of the first one."""
    roots, steps = Roots(clock), Steps(clock)
    watch = LearningWatch(Controls(clock, roots, steps, LoaderHooks(clock), Precision(roots)))
    for losses in (first, later, later, later):
        for loss in losses:
            clock.micro_step(torch.tensor(loss).item())
        update = clock._update
        clock.end_update()
        watch.update_ended(update, as_written=False)
    assert watch.facts()["first_loss"] == (pytest.approx(known) if known is not None else None)

"""Losses of evaluations, in real calls of models."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional

from advisor.agent.loop.clock import StepClock
from advisor.agent.loop.evaluation_losses import EvaluationLosses

ORIGINALS = (functional.cross_entropy,)
"""Held in a tuple: names of modules that hold it are wrapped, too."""


class Script:
    """A clock and its collector, with evaluations as the hooks would report them."""

    def __init__(self) -> None:
        self.clock = StepClock()
        self.losses = EvaluationLosses(self.clock)
        self.clock.on_evaluation_begins = self.losses.begins
        self.clock.on_training_continues = self.losses.training_continues
        self.x, self.y = torch.randn(30, 4), torch.randint(0, 3, (30,))

    def call(self, output: object) -> object:
        self.clock.evaluation_begins()
        self.losses.saw_output(output)
        self.clock.evaluation_ends()
        return output


@pytest.fixture
def script() -> Iterator[Script]:
    torch.manual_seed(0)
    made = Script()
    yield made
    made.losses.stop()
    assert functional.cross_entropy is ORIGINALS[0]


@torch.no_grad()
def test_the_mean_is_weighted_by_samples(script: Script) -> None:
    scores = torch.randn(30, 3)
    for part in (slice(0, 20), slice(20, 30)):
        script.call(scores[part])
        functional.cross_entropy(scores[part], script.y[part])
    script.clock.training_continues()
    (found,) = script.losses.done()
    assert found.loss == pytest.approx(ORIGINALS[0](scores, script.y).item(), rel=1e-6)
    assert (found.batches, found.updates) == (2, 0)


@torch.no_grad()
def test_a_sum_over_samples_is_divided_by_them(script: Script) -> None:
    scores = torch.randn(30, 3)
    script.call(scores)
    functional.cross_entropy(scores, script.y, reduction="sum")
    script.clock.training_continues()
    assert script.losses.done()[0].loss == pytest.approx(ORIGINALS[0](scores, script.y).item(), rel=1e-6)


@torch.no_grad()
def test_a_loss_module_is_seen(script: Script) -> None:
    criterion = nn.MSELoss()
    script.call(script.x)
    criterion(script.x, script.x + 2)
    script.clock.training_continues()
    assert script.losses.done()[0].loss == pytest.approx(4.0)


@torch.no_grad()
@pytest.mark.parametrize("as_attribute", [True, False])
def test_a_loss_in_the_output_is_seen(script: Script, as_attribute: bool) -> None:
    loss = torch.tensor(1.5)
    script.call(SimpleNamespace(loss=loss) if as_attribute else (torch.ones(3, 4), loss))
    script.clock.training_continues()
    assert script.losses.done()[0].loss == 1.5


def test_losses_with_gradients_are_the_trainings(script: Script) -> None:
    script.call(script.x)
    functional.mse_loss(script.x.requires_grad_(), torch.zeros(30, 4)).backward()
    script.clock.training_continues()
    assert script.losses.done() == []


@torch.no_grad()
def test_a_function_that_was_looked_up_before_the_call_is_seen_after_eval(script: Script) -> None:
    script.losses.install()
    nn.Linear(2, 2).eval()
    functional.cross_entropy(script.call(torch.zeros(30, 3)), script.y)  # type: ignore[arg-type]
    script.clock.training_continues()
    assert len(script.losses.done()) == 1


def test_eval_without_an_evaluation_leaves_nothing_wrapped(script: Script) -> None:
    script.losses.install()
    nn.Linear(2, 2).eval()
    assert functional.cross_entropy is not ORIGINALS[0]
    script.losses.rest()
    assert functional.cross_entropy is ORIGINALS[0]


@torch.no_grad()
def test_a_loss_is_read_at_once_where_somebody_waits_for_it(script: Script) -> None:
    seen: list[float] = []
    script.losses.on_evaluation = lambda found: seen.append(found.loss)
    script.call(SimpleNamespace(loss=torch.tensor(1.5)))
    script.clock.training_continues()
    assert seen == [1.5]


@torch.no_grad()
def test_training_runs_torchs_own_functions_between_evaluations(script: Script) -> None:
    script.call(torch.zeros(30, 3))
    assert functional.cross_entropy is not ORIGINALS[0]
    functional.cross_entropy(torch.zeros(30, 3), script.y)
    script.clock.training_continues()
    assert functional.cross_entropy is ORIGINALS[0]


@torch.no_grad()
def test_a_loss_that_is_not_finite_is_no_evaluation(script: Script) -> None:
    script.call(SimpleNamespace(loss=torch.tensor(float("nan"))))
    script.clock.training_continues()
    assert script.losses.done() == []

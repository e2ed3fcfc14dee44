"""Which modules are wrapped, and that nothing stays behind."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from advisor.agent.base.slots import SLOT
from advisor.agent.loop.clock import FORWARD, StepClock
from advisor.agent.loop.roots import Roots


class Outer(nn.Module):
    """Never called as a module: a library calls its method."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def training_step(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


@pytest.fixture
def roots() -> Iterator[Roots]:
    found = Roots(StepClock())
    yield found
    found.suspend()


def _ids(module: nn.Module) -> set[int]:
    return {id(parameter) for parameter in module.parameters()}


def _seek(roots: Roots, module: nn.Module) -> None:
    roots.seek(_ids(module), _ids(module))


def test_a_module_that_is_nobodys_child_is_a_root(roots: Roots) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    _seek(roots, model)
    model(torch.ones(1, 3))
    assert [root.ref() for root in roots.called()] == [model]


def test_the_time_of_a_call_is_forward() -> None:
    ticks = iter(range(0, 1000, 10))
    clock = StepClock(lambda: next(ticks))
    roots, model, updates = Roots(clock), nn.Linear(3, 2), []
    clock.on_update = updates.append
    _seek(roots, model)
    model(torch.ones(1, 3))
    clock.end_update()
    roots.suspend()
    assert updates[0].phases_ns[FORWARD] > 0


def test_elements_of_calls_are_added_up_and_those_of_evaluations_left_out() -> None:
    clock = StepClock()
    roots, model, updates = Roots(clock), nn.Linear(3, 2), []
    clock.on_update = updates.append
    _seek(roots, model)
    for rows in (4, 2):
        model(torch.ones(rows, 3))
    model.eval()
    with torch.no_grad():
        model(torch.ones(50, 3))
    clock.end_update()
    roots.suspend()
    assert updates[0].elements == 18


def test_what_follows_an_evaluation_is_its_own_until_the_model_is_trained_again() -> None:
    ticks = iter(range(0, 10_000, 10))
    clock = StepClock(lambda: next(ticks))
    roots, model, updates = Roots(clock), nn.Linear(3, 2), []
    clock.on_update = updates.append
    _seek(roots, model)
    model.eval()
    with torch.no_grad():
        model(torch.ones(1, 3))
    assert clock.awaits_training
    model.train()
    model(torch.ones(1, 3))
    assert not clock.awaits_training
    clock.end_update()
    roots.suspend()
    assert updates[0].evaluation_ns is not None


def test_below_a_module_that_is_not_called_its_children_are_tried(roots: Roots) -> None:
    model = Outer()
    _seek(roots, model)
    model.training_step(torch.ones(1, 3))
    assert roots.descend(_ids(model), _ids(model))
    model.training_step(torch.ones(1, 3))
    assert [root.ref() for root in roots.called()] == [model.inner]


def test_below_a_module_that_is_called_nothing_is_wrapped(roots: Roots) -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    _seek(roots, model)
    model(torch.ones(1, 3))
    roots.descend(_ids(model), _ids(model))
    assert SLOT not in model[0].__dict__


def test_a_call_inside_a_root_is_the_roots_own(roots: Roots) -> None:
    inner = nn.Linear(3, 2)
    _seek(roots, inner)

    class Caller(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return inner(x)

    caller = Caller()
    roots._wrap_all([caller], 0)
    caller(torch.ones(1, 3))
    assert [root.ref() for root in roots.called()] == [caller]


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(3, 3), lambda: nn.LSTM(3, 3)], ids=["in the object", "on the class"]
)
def test_suspended_nothing_is_left(roots: Roots, make: type[nn.Module]) -> None:
    model = make()
    before = (dict(model.__dict__), dict(vars(type(model))))
    _seek(roots, model)
    roots.suspend()
    assert (dict(model.__dict__), dict(vars(type(model)))) == before


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(3, 3), lambda: nn.LSTM(3, 3)], ids=["in the object", "on the class"]
)
def test_pickles_and_copies_are_those_of_the_plain_module(roots: Roots, make: type[nn.Module]) -> None:
    model = make()
    before = pickle.dumps(model)
    _seek(roots, model)
    assert (pickle.dumps(model), SLOT in copy.deepcopy(model).__dict__) == (before, False)


def test_a_class_slot_is_only_for_its_own_object(roots: Roots) -> None:
    model, other = nn.LSTM(3, 3), nn.Sequential(nn.LSTM(3, 3))
    roots._wrap_all([model], 0)
    assert (getattr(model, SLOT) is not None, getattr(other[0], SLOT)) == (True, None)


def test_what_the_script_compiles_meanwhile_stays(roots: Roots) -> None:
    model = nn.Linear(3, 2)
    _seek(roots, model)
    model.compile(backend="eager")
    compiled = model.__dict__[SLOT]
    roots.suspend()
    assert model.__dict__[SLOT] is compiled


def test_a_compiled_module_is_given_back_compiled(roots: Roots) -> None:
    model = nn.Linear(3, 2)
    model.compile(backend="eager")
    compiled = model.__dict__[SLOT]
    _seek(roots, model)
    assert model.__dict__[SLOT] is not compiled
    roots.suspend()
    assert model.__dict__[SLOT] is compiled


def test_an_exception_in_a_forward_ends_its_phase() -> None:
    clock = StepClock()
    roots, model = Roots(clock), nn.Linear(3, 2)
    _seek(roots, model)
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 4))
    roots.suspend()
    assert clock.depth == 1


def test_a_model_that_is_not_trained_is_not_owned(roots: Roots) -> None:
    trained, other = nn.Linear(3, 2), nn.Linear(3, 2)
    _seek(roots, trained)
    for model in (trained, other):
        model(torch.ones(1, 3))
    assert {id(root.ref()): root.owned for root in roots.called()} == {id(trained): True, id(other): False}


class Counted:
    """Backwards of a script, for roots."""

    def __init__(self, roots: Roots, model: nn.Module) -> None:
        self.count, self.model = 0, model
        roots.backwards = lambda: self.count

    def call(self, *, training_mode: bool, learns: bool) -> None:
        self.model.train(training_mode)
        out = self.model(torch.ones(1, 3)).sum()
        if learns:
            self.count += 1
            out.backward()


@pytest.mark.parametrize("attacks", [False, True])
def test_calls_in_evaluation_mode_evaluate_unless_a_backward_follows(roots: Roots, attacks: bool) -> None:
    model = nn.Linear(3, 2)
    _seek(roots, model)
    evaluated: list[bool] = []
    roots.on_evaluation = evaluated.append
    script = Counted(roots, model)
    for _ in range(3):
        script.call(training_mode=True, learns=True)
        script.call(training_mode=False, learns=False)
        script.call(training_mode=False, learns=attacks)
    (root,) = roots.called()
    assert root.evaluates_with_graph is not attacks
    assert root.learns_in_evaluation_mode is attacks
    assert len(evaluated) == (0 if attacks else 4)  # the first two calls were not known to be an evaluation


def test_a_model_that_is_trained_in_evaluation_mode_is_not_evaluated(roots: Roots) -> None:
    """Frozen running averages are kept so; no call is ever in training mode."""
    model = nn.Linear(3, 2)
    _seek(roots, model)
    script = Counted(roots, model)
    for _ in range(4):
        script.call(training_mode=False, learns=True)
    assert not roots.called()[0].evaluates_with_graph


def test_a_look_at_the_sizes_before_training_is_no_evaluation(roots: Roots) -> None:
    model = nn.Linear(3, 2)
    _seek(roots, model)
    script = Counted(roots, model)
    script.call(training_mode=False, learns=False)
    script.call(training_mode=True, learns=True)
    assert not roots.called()[0].evaluates_with_graph


def test_an_attack_that_comes_late_takes_the_judgement_back(roots: Roots) -> None:
    model = nn.Linear(3, 2)
    _seek(roots, model)
    script = Counted(roots, model)
    for learns in (False, False, True, False, False):
        script.call(training_mode=True, learns=True)
        script.call(training_mode=False, learns=learns)
    script.call(training_mode=True, learns=True)
    assert not roots.called()[0].evaluates_with_graph

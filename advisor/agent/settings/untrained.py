"""Parts of a model that no optimizer trains: found by their parameters, and without their cost for a few windows."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base import slots
from ..base.pass_through import passes_on
from ..base.tensors import tensors_in
from ..loop.clock import StepClock
from ..loop.roots import CLOSED_WRAPPERS, Root, Roots
from ..loop.steps import Steps
from .blocks import numel

if TYPE_CHECKING:
    from torch import Tensor, nn

LEAST_FRACTION = 0.05
"""Fraction of all parameters, below which frozen parts are tables of positions and the like, and no backbone."""
MOST_NAMES = 64
MOST_TENSORS = 64
"""Tensors looked at in each container of arguments."""
MOST_OUTPUTS = 8
"""Shapes of inputs whose outputs are kept."""


def part_facts(roots: Iterable[Root], owned: set[int]) -> dict[str, Any]:
    """Return the facts of `types.ScriptFacts` on parts without training; `owned` are the optimizers' parameters."""
    roots = list(roots)
    models = [model for root in roots if (model := root.ref()) is not None]
    return {
        "frozen_parts": [name or type(module).__name__ for name, module in frozen_parts(roots)][:MOST_NAMES],
        "unused_gradients": sum(numel(parameter) for parameter in unused_parameters(models, owned)),
    }


def frozen_parts(roots: Iterable[Root]) -> list[tuple[str, nn.Module]]:
    """Return the largest modules that get no gradients, by path: by their parameters, or since they never ran with any.

    Copies of trained modules are left out, such as averages and targets; all are if they own few of the parameters.
    """
    models = [(model, root.training_calls > 0) for root in roots if (model := root.ref()) is not None]
    found = [each for model, trains in models for each in _largest(model, "", _frozen if trains else _any)]
    if not found:
        return []
    trained = {form_of(inner) for model, trains in models if trains for inner in model.modules() if not _frozen(inner)}
    found = [(name, module) for name, module in found if not is_copy(name, module, trained)]
    total = sum(numel(parameter) for model, _trains in models for parameter in model.parameters())
    frozen = sum(numel(parameter) for _name, module in found for parameter in module.parameters())
    return found if frozen >= LEAST_FRACTION * total else []


def unused_parameters(models: Iterable[nn.Module], owned: set[int]) -> list[Tensor]:
    """Return the parameters of these models that have gradients and belong to no optimizer.

    There are none if no optimizer is known to own any of their parameters: some update copies of them.
    """
    parameters = {id(parameter): parameter for model in models for parameter in model.parameters()}
    if not owned & parameters.keys():
        return []
    return [
        parameter
        for number, parameter in parameters.items()
        if parameter.requires_grad and parameter.grad is not None and number not in owned
    ]


def is_copy(path: str, module: nn.Module, trained: Collection[tuple[object, ...]]) -> bool:
    """Return whether it has the form of a trained module, as averages and targets have; the layers of a row are alike
    without being copies."""
    return not path.rpartition(".")[2].isdecimal() and form_of(module) in trained


def form_of(module: nn.Module) -> tuple[object, ...]:
    """Return a value that is equal for modules of one class with parameters of the same shapes."""
    return type(module), tuple(tuple(parameter.shape) for parameter in module.parameters())


def _frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())


def _any(_module: nn.Module) -> bool:
    return True


def _largest(module: nn.Module, path: str, holds: Callable[[nn.Module], bool]) -> Iterator[tuple[str, nn.Module]]:
    """Yield the outermost modules with parameters for which this holds."""
    if next(module.parameters(), None) is None:
        return
    if holds(module):
        yield path, module
        return
    for name, child in module._modules.items():
        if child is not None:
            yield from _largest(child, f"{path}.{name}" if path else name, holds)


class Untrained:
    """Handles for what-ifs on the parts that are not trained."""

    def __init__(self, roots: Roots, steps: Steps, clock: StepClock) -> None:
        self._roots = roots
        self._steps = steps
        self._clock = clock
        self._slots: list[tuple[nn.Module, slots.CallSlot]] = []
        self._outputs: dict[object, Any] = {}
        self._without: list[Tensor] = []

    def hand_out(self, on: bool) -> None:
        """Let frozen parts return their last output for inputs of the same shapes, or let them compute again."""
        for module, slot in self._slots:
            slots.take(module, slot)
        self._slots, self._outputs = [], {}
        if not on:
            return
        parts = [module for _name, module in frozen_parts(self._roots.called()) if _may_be_skipped(module)]
        if not parts:
            raise Refused("the frozen parts of the model cannot be left out: hooks on them, or their class, forbid it")
        self._slots = [(module, slots.put(module, self._run)) for module in parts]

    def stop_gradients(self, on: bool) -> None:
        """Compute no gradients for parameters that belong to no optimizer, or compute them again."""
        for parameter in self._without:
            parameter.requires_grad_(True)
        self._without = []
        if on:
            self._without = unused_parameters(self._models(), self._steps.owned_parameters())
            for parameter in self._without:
                parameter.requires_grad_(False)

    @passes_on
    def _run(self, module: Any, original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if not self._clock.mine() or self._clock.in_evaluation_span:
            return original(*args, **kwargs)
        try:
            inputs = list(tensors_in((args, kwargs), MOST_TENSORS))
            key = (id(module), *((tensor.dtype, tuple(tensor.shape)) for tensor in inputs))
        except Exception:  # a class of the user's may do anything when it is looked into
            return original(*args, **kwargs)
        if key in self._outputs:
            return _copied(self._outputs[key])
        result = original(*args, **kwargs)
        with contextlib.suppress(Exception):
            needed = any(tensor.requires_grad for tensor in (*inputs, *tensors_in(result, MOST_TENSORS)))
            if not needed and len(self._outputs) < MOST_OUTPUTS:
                self._outputs[key] = _copied(result)
        return result

    def _models(self) -> list[nn.Module]:
        return [model for root in self._roots.called() if (model := root.ref()) is not None]


def _may_be_skipped(module: nn.Module) -> bool:
    """Return whether its calls can be replaced, and nothing waits for what happens inside."""
    if type(module).__name__ in (*CLOSED_WRAPPERS, "RecursiveScriptModule") or slots.compiled_by_script(module):
        return False
    hooked = any(inner._forward_hooks or inner._forward_pre_hooks for inner in module.modules())
    return not hooked and slots.SLOT not in vars(type(module)) and hasattr(module, "_call_impl")


def _copied(value: Any) -> Any:
    """Return a copy of the tensors in plain containers, which the script may change in place."""
    if hasattr(value, "clone") and hasattr(value, "dtype"):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(_copied(item) for item in value)
    if type(value) is dict:
        return {name: _copied(item) for name, item in value.items()}
    return value

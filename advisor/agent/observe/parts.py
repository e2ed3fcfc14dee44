"""Parts of a model: the cost of its repeated blocks, and of what is not trained, whose output could perhaps be kept."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..base import slots
from ..base.pass_through import passes_on
from ..base.tensors import tensors_in
from ..loop.frames import Frames
from ..loop.roots import CLOSED_WRAPPERS
from ..settings.blocks import numel, repeated_blocks
from ..settings.untrained import MOST_TENSORS, form_of, is_copy, unused_parameters

if TYPE_CHECKING:
    from torch import nn

    from ..settings.controls import Controls
    from .flops import FlopCount
    from .memory import Activations
    from .operators import Operators

MOST_MODULES = 400
"""Modules watched, the outermost first."""
MOST_FIRST = 16
"""Parameters, and elements of each, that are compared to see whether a part changes: an average of weights changes all
of them in every update."""
VARYING = ("Dropout", "BatchNorm")


class _Part:
    """One watched module and its calls."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name = name
        self.module = module
        self.slot: Any = None
        self.place = 0
        """Place of its first call among those of all parts."""
        self.updates: set[int] = set()
        self.ns = 0
        self.flops = 0
        self.calls = 0
        self.kept_bytes = 0
        """Growth, over its calls, of what is kept for the backward."""
        self.input_bytes = 0
        self.output_bytes = 0
        self.with_old_gradients = 0
        """Calls during which a gradient of an earlier backward was there."""
        self.with_gradient = 0
        """Calls whose output passes gradients on."""
        self.without_gradient = 0
        self.after_training = 0
        """Calls with an input that passes gradients on."""
        self.draws_before = False
        self.parents: set[_Part] = set()
        self.line: tuple[str, int, str] = ("", 0, "")
        self.first = _first_values(module)
        self.own = id(next(module.parameters(), None))
        """Identity of its first parameter."""
        self.with_others = 0
        """Calls with other parameters than its own, as `torch.func.functional_call` makes them."""

    @property
    def constant(self) -> bool:
        passes_none = self.without_gradient > 0 and not self.with_gradient and not self.after_training
        return passes_none and not self.with_others


class PartWatch:
    """Observer of the modules' calls in a trace window; `start` and `stop` at the ends of updates."""

    def __init__(self, controls: Controls, flops: FlopCount, activations: Activations) -> None:
        self._controls = controls
        self._clock = controls.clock
        self._flops = flops
        self._activations = activations
        self._frames = Frames()
        self._parts: list[_Part] = []
        self._open: list[_Part] = []
        self._operators: Operators | None = None
        self._called = 0

    def find(self) -> None:
        """Look for the modules, and at their parameters, before operators are watched."""
        self._parts = [_Part(name, module) for name, module in self._modules()]

    def start(self, operators: Operators) -> None:
        """Begin to watch; `operators` has the times."""
        self._operators = operators
        self._open = []
        for part in self._parts:
            part.slot = slots.put(part.module, self._runner(part))

    def step_aside(self) -> None:
        """Watch nothing any more."""
        self._operators = None
        for part in self._parts:
            if part.slot is not None:
                slots.take(part.module, part.slot)
                part.slot = None

    def stop(self, updates: int) -> dict[str, Any]:
        """Return the fields of `types.OperatorUse` that this observer knows."""
        operators = self._operators
        self.step_aside()
        parts, self._parts = self._parts, []
        if operators is None or not operators.total_ns:
            return {}
        total = self._flops.total or None

        def cost(found: list[_Part]) -> dict[str, Any]:
            return {
                "seconds_fraction": min(1.0, sum(part.ns for part in found) / operators.total_ns),
                "flops_fraction": min(1.0, sum(part.flops for part in found) / total) if total else None,
            }

        frozen = [part for part in self._frozen(parts) if len(part.updates) >= updates]
        return {
            "frozen_parts": [{**_described(part), **cost([part])} for part in frozen],
            "unused_gradients": self._unused(parts, cost),
            "blocks": self._blocks(parts, cost, updates),
            "output_bytes": sum(part.output_bytes for part in parts if not part.parents) // updates,
            "gradients_in_forward": any(part.with_old_gradients for part in parts),
        }

    def _blocks(self, parts: list[_Part], cost: Any, updates: int) -> dict[str, Any] | None:
        """Return the fields of `types.BlockUse`; None without repeated blocks whose calls were all seen."""
        blocks = repeated_blocks([part.module for part in parts if not part.parents])
        if blocks is None:
            return None
        by_module = {id(part.module): part for part in parts}
        found = [by_module[id(module)] for module in blocks.modules if id(module) in by_module]
        if len(found) < len(blocks.modules) or not all(part.calls for part in found):
            return None
        own = {id(each): numel(each) for part in found for each in part.module.parameters()}
        return {
            "class_name": blocks.class_name,
            "count": len(found),
            "parameters": sum(own.values()),
            "kept_bytes": sum(part.kept_bytes for part in found) // updates,
            "input_bytes": sum(part.input_bytes for part in found) // updates,
            "each": [
                {
                    "name": part.name,
                    "parameters": sum(map(numel, part.module.parameters())),
                    "kept_bytes": part.kept_bytes // updates,
                    "seconds_fraction": cost([part])["seconds_fraction"],
                }
                for part in sorted(found, key=lambda part: part.place)
            ],
            **cost(found),
        }

    def _modules(self) -> list[tuple[str, nn.Module]]:
        """Return the modules with parameters of all called models, the outermost first."""
        level = [("", model) for root in self._controls.roots.called() if (model := root.ref()) is not None]
        found: list[tuple[str, nn.Module]] = []
        while level and len(found) < MOST_MODULES:
            level = [entry for entry in level if _is_watchable(entry[1])]
            found += level
            level = [
                (f"{path}.{name}" if path else name, child)
                for path, module in level
                for name, child in module._modules.items()
                if child is not None
            ]
        return list({id(module): (name, module) for name, module in reversed(found[:MOST_MODULES])}.values())[::-1]

    def _runner(self, part: _Part) -> slots.Run:
        clock = self._clock

        @passes_on
        def run(_module: nn.Module, original: Any, args: Any, kwargs: Any) -> object:
            operators = self._operators
            if operators is None or not clock.mine() or clock.in_evaluation_span:
                return original(*args, **kwargs)
            if self._open:
                part.parents.add(self._open[-1])
            self._open.append(part)
            part.with_others += id(next(part.module.parameters(), None)) != part.own
            if not part.place:
                self._called += 1
                part.place = self._called
            begin = operators.total_ns, self._flops.total, operators.draws_before, self._activations.held_bytes
            try:
                result = original(*args, **kwargs)
            finally:
                self._open.pop()
            try:
                self._note(part, operators, begin, (args, kwargs), result)
            except Exception:  # a class of the user's may do anything when it is looked into
                part.after_training += 1
            return result

        return run

    def _note(
        self, part: _Part, operators: Operators, begin: tuple[int, int, bool, int], inputs: object, result: object
    ) -> None:
        """Add a call that has just ended; `begin` holds the sums from before it."""
        before_ns, before_flops, drawn, held = begin
        part.calls += 1
        part.kept_bytes += self._activations.held_bytes - held
        part.input_bytes += _bytes_of(inputs)
        part.output_bytes += _bytes_of(result)
        if len(self._open) == 0 and any(each.grad is not None for each in part.module.parameters()):
            part.with_old_gradients += 1
        part.ns += operators.total_ns - before_ns
        part.flops += self._flops.total - before_flops
        part.updates.add(self._clock.updates)
        part.draws_before = part.draws_before or drawn
        if any(tensor.requires_grad for tensor in tensors_in(inputs, MOST_TENSORS)):
            part.after_training += 1
        if any(tensor.requires_grad for tensor in tensors_in(result, MOST_TENSORS)):
            part.with_gradient += 1
        else:
            part.without_gradient += 1
            operators.draws_before = drawn  # what a part without gradients draws is its own
        if not part.line[0]:
            part.line = self._frames.line(sys._getframe(2))

    def _frozen(self, parts: list[_Part]) -> list[_Part]:
        """Return the largest parts that never pass gradients on and are no copy of what is trained."""
        trained = {form_of(part.module) for part in parts if part.with_gradient}
        plays = any(part.with_gradient and part.without_gradient for part in parts)
        constant = {part for part in parts if part.constant and part.first == _first_values(part.module)}
        outer = [part for part in parts if part in constant and not part.parents & constant]
        found = [part for part in outer if not is_copy(part.name, part.module, trained)]
        for part in found:
            # A model that also runs without gradients while it trains makes its own data.
            part.draws_before = part.draws_before or (plays and self._controls.loaders.train is None)
        return found

    def _unused(self, parts: list[_Part], cost: Any) -> dict[str, Any] | None:
        models = [part.module for part in parts if not part.parents]
        unused = {id(each) for each in unused_parameters(models, self._controls.steps.owned_parameters())}
        if not unused:
            return None
        whole = {
            part
            for part in parts
            if part.with_gradient
            and part.first == _first_values(part.module)
            and all(id(each) in unused for each in part.module.parameters() if each.requires_grad)
            and any(each.requires_grad for each in part.module.parameters())
        }
        found = sorted((part for part in whole if not part.parents & whole), key=lambda part: -part.ns)
        if not found:
            return None
        file, line, function = found[0].line
        own = {id(each): numel(each) for part in found for each in part.module.parameters() if id(each) in unused}
        return {
            "names": [part.name or type(part.module).__name__ for part in found],
            "parameters": sum(own.values()),
            "leading": not any(part.after_training for part in found),
            **cost(found),
            "file": file,
            "line": line,
            "function": function,
        }


def _bytes_of(value: object) -> int:
    """Return the bytes of the tensors that pass gradients on: of inputs, what a checkpoint of the module would keep."""
    found = [tensor for tensor in tensors_in(value, MOST_TENSORS) if tensor.requires_grad]
    return sum(int(tensor.numel()) * int(tensor.element_size()) for tensor in found)


def _described(part: _Part) -> dict[str, Any]:
    file, line, function = part.line
    return {
        "name": part.name,
        "class_name": type(part.module).__name__,
        "file": file,
        "line": line,
        "function": function,
        "draws_before": part.draws_before,
        "varying": _varying(part.module),
    }


def _varying(module: nn.Module) -> list[str]:
    """Return the kinds of layers in training mode whose output differs from call to call."""
    found = []
    for inner in module.modules():
        kind = next((kind for kind in VARYING if type(inner).__name__.startswith(kind)), None)
        if kind is not None and inner.training and getattr(inner, "p", True) and kind not in found:
            found.append(kind)
    return found


def _is_watchable(module: nn.Module) -> bool:
    """Return whether its calls can be seen: a class slot holds one observer only."""
    if type(module).__name__ in (*CLOSED_WRAPPERS, "RecursiveScriptModule") or slots.compiled_by_script(module):
        return False
    if next(module.parameters(), None) is None or not hasattr(module, "_call_impl"):
        return False
    return slots.SLOT not in vars(type(module))


def _first_values(module: nn.Module) -> list[list[float]]:
    """Return the first values of some parameters; equal ones later mean that none was trained or averaged."""
    found = []
    for parameter in list(module.parameters())[:: max(1, len(list(module.parameters())) // MOST_FIRST)]:
        try:
            found.append(parameter.detach().flatten()[:MOST_FIRST].tolist())
        except (RuntimeError, ValueError):  # a lazy layer's parameter, or one in shards
            continue
    return found

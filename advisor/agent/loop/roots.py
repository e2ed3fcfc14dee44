"""Modules whose calls are the forward pass: found without hooks on submodules, wrapped outside compiled code.

A hook on every submodule costs 1.3 µs each, and `torch.compile` traces it. So the search hooks nothing: at the first
step it takes all modules without a parent from the garbage collector's lists. If a trained one is not called (a library
calls a method instead, or `.forward()` directly), the search descends one level, below that one only.
"""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ..base import slots
from ..base.nothing import nothing
from ..base.pass_through import passes_on
from .clock import FORWARD, StepClock
from .held_out import HeldOut
from .samples import elements

if TYPE_CHECKING:
    from torch import nn

MAX_LEVELS = 4
"""Maximum search depth: nobody hides the module really called below a LightningModule's `model.backbone.encoder`."""
CLOSED_WRAPPERS = ("OptimizedModule", "DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")
"""Wrappers that are never searched: dynamo traces their contents, or replicas copy them."""


class Root:
    """One wrapped module and its observed calls."""

    def __init__(self, module: nn.Module, level: int) -> None:
        self.ref = weakref.ref(module)
        self.level = level
        self.owned = False
        """True if an optimizer that stepped owns one of its parameters."""
        self.main = False
        """True if the main optimizer owns one."""
        self.calls = 0
        self.training_calls = 0
        self.evaluates_with_graph = False
        """True if the script evaluates it with gradients on: calls in evaluation mode that no backward followed."""
        self.learns_in_evaluation_mode = False
        """True if a backward followed such a call."""
        self.slot: Any = None
        """Installed `slots.CallSlot`; None while the roots are suspended."""
        self.device: str | None = None
        """Device type of its parameters, looked up on demand."""
        self.compiled: dict[object, Any] = {}
        """Compiled calls other than the script's own, by the settings they were made under; see `compiling.py`."""

    def judge(self, owned: set[int], main: set[int]) -> None:
        """Determine which optimizers own its parameters. If no optimizer is known, every trainable parameter counts."""
        module = self.ref()
        if module is None:
            return
        parameters = list(module.parameters())
        if owned:
            self.owned = any(id(parameter) in owned for parameter in parameters)
            self.main = any(id(parameter) in main for parameter in parameters)
        else:
            self.owned = self.main = any(parameter.requires_grad for parameter in parameters)


class Roots:
    """Finder of the roots; reports their calls to the clock and to listeners."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._roots: dict[int, Root] = {}
        self._inside = False
        self._frontier: list[Root] = []
        self._compiling: Callable[[], bool] = _never
        self._grad_enabled: Callable[[], bool] = _never
        self.training_forwards = 0
        self.on_training: Callable[[Root, tuple[Any, ...], dict[str, Any]], None] = nothing
        self.on_evaluation: Callable[[bool], None] = nothing
        """Callable(weak) at a call without gradients in evaluation mode; weak if it may belong to an update."""
        self.on_evaluated: Callable[[Root, object], None] = nothing
        self.around_forward: Callable[..., Any] | None = None
        """Custom runner of the forward: (root, whether grad is on, run, args, kwargs); None runs it unchanged."""
        self.arguments: Callable[[Root, Any, Any], tuple[Any, Any]] | None = None
        """Function (root, args, kwargs) that returns those of the forward; None leaves them as they are."""
        self.instead: Callable[[Root, Callable[..., object]], Callable[..., object]] | None = None
        """Function (root, its call) that returns a replacement in a training forward; None keeps the call."""
        self.around_training: Callable[[Root, Callable[[], object]], object] | None = None
        """Function (root, its training forward with all settings) that runs it; None runs it unchanged."""
        self.guard: Callable[[Root, Callable[[], object]], object] | None = None
        """Function (root, its current forward) that runs the forward, maybe repeatedly; None runs it once."""
        self.backwards: Callable[[], int] = int
        """Number of backwards so far."""
        self._held_out = HeldOut()
        self._unsure: set[Root] = set()
        """Roots called in evaluation mode with gradients since the last training forward."""
        self._backwards_before = 0
        """Backwards before the last such call."""
        self.suspended = False

    # --- what others ask ------------------------------------------------------------------------------------------

    def called(self) -> list[Root]:
        """Return the roots called so far: owned ones first, then by the number of training calls."""
        seen = [root for root in self._roots.values() if root.calls and root.ref() is not None]
        return sorted(seen, key=lambda root: (-root.owned, -root.training_calls))

    def found(self) -> list[nn.Module]:
        """Return all modules without a parent that are alive, and those that were searched below them."""
        modules = [root.ref() for root in self._roots.values()]
        return [module for module in modules if module is not None]

    def settled(self) -> bool:
        """Return whether a trained model was seen at work.

        A loss module is not enough: it is the only root that is called if a library calls `training_step`."""
        return any(root.owned and root.training_calls and root.ref() is not None for root in self._roots.values())

    def trained(self) -> list[nn.Module]:
        """Return modules with parameters that an optimizer steps, even if their calls were not seen yet."""
        modules = [root.ref() for root in self._roots.values() if root.owned]
        return [module for module in modules if module is not None]

    def covers(self, parameters: set[int]) -> bool:
        """Return whether a live root has one of these parameters."""
        return any(
            id(parameter) in parameters
            for root in self._roots.values()
            if (module := root.ref()) is not None
            for parameter in module.parameters()
        )

    # --- search ---------------------------------------------------------------------------------------------------

    def seek(self, owned: set[int], main: set[int]) -> None:
        """Wrap all modules without a parent.

        `owned` holds the parameter ids of all optimizers, `main` those of the main one."""
        import torch

        self._compiling = torch.compiler.is_dynamo_compiling
        self._grad_enabled = torch.is_grad_enabled
        self._frontier = self._wrap_all(modules_without_parent(), 0)
        self.judge(owned, main)

    def take(self, modules: list[nn.Module], parameters: set[int], owned: set[int], main: set[int]) -> bool:
        """Wrap those of the modules that hold all of these parameters, the smallest; return False if none does."""
        held = [({id(parameter) for parameter in module.parameters()}, module) for module in modules]
        holders = [(len(ids), module) for ids, module in held if parameters <= ids]
        if not holders:
            return False
        for key in [key for key, root in self._roots.items() if root.ref() is None]:
            del self._roots[key]
        for root in self._wrap_all([min(holders, key=lambda entry: entry[0])[1]], 0):
            root.judge(owned, main)
        return True

    def descend(self, owned: set[int], main: set[int]) -> bool:
        """Wrap the children of every trained root that was never called; return False if nothing is left to try."""
        silent = [root for root in self._frontier if root.owned and not root.calls and root.level < MAX_LEVELS - 1]
        found: list[Root] = []
        for root in silent:
            module = root.ref()
            if module is not None and not _closed(module):
                found += self._wrap_all(_children(module), root.level + 1)
        self._frontier = found
        for root in found:
            root.judge(owned, main)
        return bool(found)

    def judge(self, owned: set[int], main: set[int]) -> None:
        """Determine again which optimizers own the roots' parameters, after the optimizers changed."""
        for root in self._roots.values():
            root.judge(owned, main)

    def drop_silent(self) -> None:
        """Unwrap inner candidates that were never called, once the search is over.

        Modules without a parent stay: an averaged model is called when it is evaluated."""
        for key, root in list(self._roots.items()):
            module = root.ref()
            if module is None:
                del self._roots[key]
            elif not root.calls and root.level and self.settled():
                del self._roots[key]
                self._unwrap(module, root)

    def _wrap_all(self, modules: list[nn.Module], level: int) -> list[Root]:
        wrapped = []
        for module in modules:
            known = self._roots.get(id(module))
            if known is not None and known.ref() is module:
                continue
            if type(module).__name__ == "RecursiveScriptModule" or not hasattr(module, "_call_impl"):
                continue
            root = self._roots[id(module)] = Root(module, level)
            root.slot = slots.put(module, self._runner(root))
            wrapped.append(root)
        return wrapped

    # --- a call -------------------------------------------------------------------------------------------------------

    def _runner(self, root: Root) -> slots.Run:
        clock, compiling, grad_enabled = self._clock, self._compiling, self._grad_enabled
        get_ident = threading.get_ident

        @passes_on
        def run(module: nn.Module, original: Callable[..., object], args: Any, kwargs: Any) -> object:
            if compiling() or self._inside or self.suspended or get_ident() != clock.owner:
                return original(*args, **kwargs)
            root.calls += 1
            written = original
            training = grad_enabled()
            evaluating = not module.training and (not training or root.evaluates_with_graph)
            unsure = training and root.owned and self._is_unsure(root, module.training)
            if training and not evaluating:
                if root.owned and clock.awaits_training:
                    clock.training_continues()
                root.training_calls += 1
                self.training_forwards += 1
                self.on_training(root, args, kwargs)
                if self.instead is not None:
                    original = self.instead(root, original)
            elif evaluating:
                self._evaluates(root, args, kwargs)
            if unsure:
                clock.evaluation_begins(weak=True)
            if not evaluating:
                clock.add_elements(elements(args, kwargs))
            if self.arguments is not None:
                args, kwargs = self.arguments(root, args, kwargs)
            self._inside = True
            clock.push(FORWARD)
            around, guard = self.around_forward, self.guard
            try:
                if training and not evaluating and self.around_training is not None:
                    as_set = functools.partial(self._as_set, root, training, written, args, kwargs)
                    return self.around_training(root, functools.partial(guard, root, as_set) if guard else as_set)
                if guard is not None:
                    return guard(root, functools.partial(self._as_set, root, training, written, args, kwargs))
                if around is not None:
                    return around(root, training, original, args, kwargs)
                output = original(*args, **kwargs)
                if evaluating:
                    self.on_evaluated(root, output)
                return output
            finally:
                clock.pop()
                self._inside = False
                if evaluating:
                    clock.evaluation_ends(weak=not root.owned)
                if unsure:
                    clock.evaluation_ends(weak=True)

        return run

    def _evaluates(self, root: Root, args: Any, kwargs: Any) -> None:
        """Note the beginning of an evaluating call; without an optimizer that owns the model, it may be a teacher's."""
        if root.owned and self._held_out.has(args, kwargs, self._clock.updates):
            self._clock.read_for_evaluation()
        self.on_evaluation(not root.owned)
        self._clock.evaluation_begins(weak=not root.owned)

    def _is_unsure(self, root: Root, training_mode: bool) -> bool:
        """Return whether this call with gradients may be an evaluation, and judge the earlier ones of that kind.

        They were evaluations if training has gone on without a backward of them.
        """
        if not training_mode:
            if not root.training_calls or root.learns_in_evaluation_mode:
                return False
            self._unsure.add(root)
            self._backwards_before = self.backwards()
            return not root.evaluates_with_graph
        if self._unsure:
            learnt = self.backwards() != self._backwards_before
            for each in self._unsure:
                each.evaluates_with_graph = not learnt
                each.learns_in_evaluation_mode = learnt
            self._unsure.clear()
        return False

    @passes_on
    def _as_set(self, root: Root, training: bool, call: Callable[..., object], args: Any, kwargs: Any) -> object:
        """Run a forward under the current settings."""
        if training and self.instead is not None:
            call = self.instead(root, call)
        if self.around_forward is not None:
            return self.around_forward(root, training, call, args, kwargs)
        return call(*args, **kwargs)

    # --- taking it all back -----------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Unwrap all roots, so that later code runs unobserved."""
        for root in self._roots.values():
            module = root.ref()
            if module is not None:
                self._unwrap(module, root)

    def resume(self) -> None:
        for root in self._roots.values():
            module = root.ref()
            if module is not None and root.slot is None:
                root.slot = slots.put(module, self._runner(root))

    @staticmethod
    def _unwrap(module: nn.Module, root: Root) -> None:
        slot, root.slot = root.slot, None
        if slot is not None:
            slots.take(module, slot)


def all_modules() -> list[nn.Module]:
    """Return the modules that the process holds."""
    import torch

    # Check the type alone: asking for `__class__` runs code of objects that pretend to be another.
    return [item for item in gc.get_objects() if issubclass(type(item), torch.nn.Module)]


def modules_without_parent() -> list[nn.Module]:
    """Return the modules of the process that no other holds."""
    modules = all_modules()
    children = {id(child) for module in modules for child in _children(module)}
    return [module for module in modules if id(module) not in children]


def _children(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.__dict__.get("_modules", {}).values() if child is not None]


def _closed(module: nn.Module) -> bool:
    return type(module).__name__ in CLOSED_WRAPPERS or slots.compiled_by_script(module)


def _never() -> bool:
    return False

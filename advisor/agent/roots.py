"""The modules whose calls are the forward pass: found without a hook on any submodule, wrapped outside compiled code.

A hook on every submodule costs 1.3 µs each and is traced by `torch.compile`. So nothing is hooked while the roots are
sought: after the first update all modules that are nobody's child are taken from the garbage collector's lists. Only
when none of them is called (a library calls a method instead, or `.forward()` directly) the search goes one level
down. A root is wrapped through its own `_compiled_call_impl`, the slot that `Module.__call__` asks first and that
pickling and deep copies leave out.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any, Callable

from .clock import FORWARD, StepClock

MAX_LEVELS = 4
"""Below a LightningModule's `model.backbone.encoder` nobody hides the module that is really called."""
CLOSED_WRAPPERS = ("OptimizedModule", "DataParallel", "DistributedDataParallel", "FullyShardedDataParallel")
"""Never looked into: dynamo traces what is inside, and replicas copy it."""


class Root:
    """One wrapped module and what was seen of it."""

    def __init__(self, module: Any, level: int, owned: bool) -> None:
        self.ref = weakref.ref(module)
        self.level = level
        self.owned = owned
        """Whether an optimizer that stepped owns a parameter of it."""
        self.calls = 0
        self.training_calls = 0
        self.previous: Any = None
        self.device: str | None = None
        """Device type of its parameters; looked up once somebody needs it."""


class Roots:
    """Finds the roots and reports their calls to the clock and to its listeners."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._roots: dict[int, Root] = {}
        self._inside = False
        self._level = 0
        self.training_forwards = 0
        self.on_training: Callable[[Any, tuple[Any, ...], dict[str, Any]], None] = _ignore
        self.on_evaluation: Callable[[], None] = _nothing
        self.around_forward: Callable[..., Any] | None = None
        """(root, whether grad is on, run, args, kwargs): runs the forward in its own way; None runs it as it is."""
        self.suspended = False

    # --- what others ask ------------------------------------------------------------------------------------------

    def called(self) -> list[Root]:
        """Roots that were called so far, the ones with most training calls first."""
        seen = [root for root in self._roots.values() if root.calls and root.ref() is not None]
        return sorted(seen, key=lambda root: (-root.owned, -root.training_calls))

    def settled(self) -> bool:
        """Whether a model that is trained was seen at work, so that the search is over. (A loss module is not enough:
        where a library calls `training_step`, it is the only root that is called as one.)"""
        return any(root.owned and root.training_calls for root in self._roots.values())

    # --- search ---------------------------------------------------------------------------------------------------

    def seek(self, owned_parameters: set[int]) -> None:
        """Wrap the next level of candidates; called at the end of an update while no training forward was seen."""
        if self._level >= MAX_LEVELS:
            return
        import torch

        # By type alone: asking an object for its class runs code of objects that pretend to be another.
        modules: list[Any] = [item for item in gc.get_objects() if issubclass(type(item), torch.nn.Module)]
        children = {id(child) for module in modules for child in module.__dict__.get("_modules", {}).values()}
        layer = [module for module in modules if id(module) not in children]
        for _ in range(self._level):
            layer = [
                child
                for module in layer
                if not _closed(module)
                for child in module.__dict__.get("_modules", {}).values()
                if child is not None
            ]
        for module in layer:
            if id(module) not in self._roots:
                owned = any(
                    id(parameter) in owned_parameters or (not owned_parameters and parameter.requires_grad)
                    for parameter in module.parameters()
                )
                self._wrap(module, owned)
        self._level += 1

    def _wrap(self, module: Any, owned: bool) -> None:
        if type(module).__name__ == "RecursiveScriptModule" or not hasattr(module, "_call_impl"):
            return
        root = Root(module, self._level, owned)
        root.previous = module.__dict__.get("_compiled_call_impl")
        self._roots[id(module)] = root
        module.__dict__["_compiled_call_impl"] = self._wrapper(root)

    def _wrapper(self, root: Root) -> Callable[..., Any]:
        import torch

        clock, ref, previous = self._clock, root.ref, root.previous
        compiling = torch.compiler.is_dynamo_compiling
        grad_enabled = torch.is_grad_enabled

        def call(*args: Any, **kwargs: Any) -> Any:
            module = ref()
            run = previous if previous is not None else module._call_impl  # type: ignore[union-attr]
            if compiling() or self._inside or self.suspended or not clock.mine():
                return run(*args, **kwargs)
            root.calls += 1
            training = grad_enabled()
            evaluating = not training and not module.training  # type: ignore[union-attr]
            if training:
                root.training_calls += 1
                self.training_forwards += 1
                self.on_training(root, args, kwargs)
            elif evaluating:
                self.on_evaluation()
                clock.evaluation_begins(weak=not root.owned)
            self._inside = True
            clock.push(FORWARD)
            around = self.around_forward
            try:
                if around is not None:
                    return around(root, training, run, args, kwargs)
                return run(*args, **kwargs)
            finally:
                clock.pop()
                self._inside = False
                if evaluating:
                    clock.evaluation_ends(weak=not root.owned)

        return call

    # --- taking it all back -----------------------------------------------------------------------------------------

    def suspend(self) -> None:
        """Unwrap all roots: what follows runs as if nobody looked."""
        for root in self._roots.values():
            module = root.ref()
            if module is None:
                continue
            if root.previous is None:
                module.__dict__.pop("_compiled_call_impl", None)
            else:
                module.__dict__["_compiled_call_impl"] = root.previous

    def resume(self) -> None:
        for root in self._roots.values():
            module = root.ref()
            if module is not None:
                module.__dict__["_compiled_call_impl"] = self._wrapper(root)

    def drop_silent(self) -> None:
        """Unwrap inner candidates that were never called, once the search is over. Those that are nobody's child stay:
        an averaged model is called when it is evaluated."""
        if not self.settled():
            return
        for key, root in list(self._roots.items()):
            module = root.ref()
            if module is None or (not root.calls and root.level):
                del self._roots[key]
                if module is not None and root.previous is None:
                    module.__dict__.pop("_compiled_call_impl", None)
                elif module is not None:
                    module.__dict__["_compiled_call_impl"] = root.previous


def leading_dimension(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | None, Any]:
    """Size of the first dimension of the first tensor of a call, and that tensor."""
    for value in (*args, *kwargs.values()):
        inner = value
        if isinstance(inner, dict):
            inner = next(iter(inner.values()), None)
        elif isinstance(inner, (list, tuple)) and inner:
            inner = inner[0]
        shape = getattr(inner, "shape", None)
        if shape is not None and len(shape):
            return int(shape[0]), inner
    return None, None


def _closed(module: Any) -> bool:
    return type(module).__name__ in CLOSED_WRAPPERS or module.__dict__.get("_compiled_call_impl") is not None


def _ignore(_root: Any, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
    return None


def _nothing() -> None:
    return None

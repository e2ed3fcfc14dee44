"""Gradients that a backward computes for another optimizer's model, and that are reset before it steps.

In a GAN whose generated pictures are not detached, the discriminator's backward goes on through the generator. The
gradients of a backward arrive from the loss towards the inputs: what comes after the last one that is used is thrown
away as a whole.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from ..loop.frames import Frames, Line
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

HOOK = "register_post_accumulate_grad_hook"
MOST_PARAMETERS = 4000
"""Parameters that are watched at most, all optimizers together."""


class _Backward:
    """One backward: which optimizers' gradients it has computed, and when the last of each arrived."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.last_ns: dict[int, int] = {}
        """Optimizer → time in operators until its last gradient."""
        self.end_ns = 0
        self.used: set[int] = set()
        self.thrown: set[int] = set()


class ThrownGradients:
    """Watch over the backwards of traced updates with several optimizers; a fault of its own ends it."""

    def __init__(self, owner: Callable[[], int], spent_ns: Callable[[], int]) -> None:
        """Watch the thread `owner`; `spent_ns` returns the time in operators so far."""
        self._owner = owner
        self._spent_ns = spent_ns
        self._frames = Frames()
        self._handles: list[Any] = []
        self._optimizers: list[Optimizer] = []
        self._probes: dict[int, Tensor] = {}
        """Optimizer → its smallest parameter, whose gradient tells when it was reset."""
        self._seen: dict[int, tuple[Any, int]] = {}
        """Optimizer → that gradient after its last backward, and its version."""
        self._pending: dict[int, list[_Backward]] = {}
        """Optimizer → backwards since its last step, or since its gradients were reset."""
        self._backwards: list[_Backward] = []
        self._current: _Backward | None = None

    def start(self, optimizers: Sequence[Optimizer]) -> None:
        """Begin, where there are several optimizers."""
        self.stop()
        self._seen, self._pending, self._backwards, self._current = {}, {}, [], None
        parameters = [[each for group in one.param_groups for each in group["params"]] for one in optimizers]
        if len(optimizers) < 2 or not 0 < sum(map(len, parameters)) <= MOST_PARAMETERS:
            return
        if not all(hasattr(each, HOOK) for group in parameters for each in group):  # a torch before 2.1
            return
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        self._optimizers = list(optimizers)
        self._probes = {
            place: min(each, key=lambda parameter: parameter.numel()) for place, each in enumerate(parameters) if each
        }
        for place, each in enumerate(parameters):
            for parameter in each:
                if parameter.requires_grad and parameter.is_leaf:
                    hook = self._arrival(place)
                    self._handles.append(getattr(parameter, HOOK)(hook))
        self._handles.append(register_optimizer_step_pre_hook(self._steps))

    def stop(self) -> None:
        """Take all hooks away."""
        handles, self._handles = self._handles, []
        for handle in handles:
            handle.remove()

    def _arrival(self, place: int) -> Callable[[Tensor], None]:
        probe = self._probes[place]

        def arrived(parameter: Tensor) -> None:
            try:
                backward = self._current
                if backward is None:
                    backward = self._begin()
                backward.last_ns[place] = self._spent_ns()
                if parameter is probe:
                    self._look(place, parameter, backward)
            except Exception:  # a class of tensors of the user's, or a torch without these calls
                self.stop()

        return arrived

    def _begin(self) -> _Backward:
        import torch

        engine: Any = torch.autograd.Variable._execution_engine
        engine.queue_callback(self._end)
        # On an accelerator, gradients arrive in a thread of autograd's; the training thread waits in the call.
        owner, here = self._owner(), threading.get_ident()
        frame = caller_of_operator(self._frames) if owner == here else sys._current_frames().get(owner)
        self._current = _Backward(self._frames.line(frame))
        self._backwards.append(self._current)
        return self._current

    def _end(self) -> None:
        if self._current is not None:
            self._current.end_ns = self._spent_ns()
        self._current = None

    def _look(self, place: int, parameter: Tensor, backward: _Backward) -> None:
        """Note whether the gradients of earlier backwards were reset without a step."""
        gradient: Any = parameter.grad
        kept, version = self._seen.get(place, (None, 0))
        if kept is not gradient or gradient._version > version + 1:  # another one, or nulled and added to
            for earlier in self._pending.pop(place, []):
                earlier.thrown.add(place)
        self._seen[place] = (gradient, gradient._version)
        self._pending.setdefault(place, []).append(backward)

    def _steps(self, optimizer: Any, _args: object, _kwargs: object) -> None:
        for place, each in enumerate(self._optimizers):
            if each is optimizer:
                for backward in self._pending.pop(place, []):
                    backward.used.add(place)

    def report(self, updates: int, models: Sequence[Module]) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        spent: dict[tuple[Line, int], list[int]] = {}
        for backward in self._backwards:
            if not backward.used or not backward.thrown or not backward.end_ns:
                continue
            lost_ns = backward.end_ns - max(backward.last_ns[place] for place in backward.used)
            last = max(backward.thrown, key=lambda place: backward.last_ns[place])
            spent.setdefault((backward.line, last), []).append(lost_ns)
        key = max(spent, key=lambda each: sum(spent[each]), default=None)
        if key is None:
            return {"thrown": None}
        (file, line, function), place = key
        return {
            "thrown": {
                "file": file,
                "line": line,
                "function": function,
                "model": _name_of(self._probes[place], models),
                "backwards_per_update": len(spent[key]) / updates,
                "seconds_per_update": sum(spent[key]) / 1e9 / updates,
            }
        }


def _name_of(parameter: Tensor, models: Sequence[Module]) -> str:
    """Return the class of the model that a parameter belongs to; "" if it is not known."""
    found = (type(model).__name__ for model in models if any(each is parameter for each in model.parameters()))
    return next(found, "")

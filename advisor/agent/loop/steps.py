"""Backward passes and optimizer steps, which define micro-steps and updates."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable

from ..base import agent_optimizers
from ..base.nothing import nothing
from ..base.pass_through import passes_on, stands_for
from .clock import BACKWARD, OPTIMIZER, OTHER, StepClock
from .kept_gradients import KeptGradients
from .samples import noted_loss

if TYPE_CHECKING:
    from torch.optim import Optimizer

BACKWARDS_WITHOUT_OPTIMIZER = 8
"""Backwards in a process without an optimizer after which the script counts as updating its parameters by hand. A
backward then ends the update."""
BACKWARDS_BEFORE_STEP = 4096
"""Backwards without a step after which an existing optimizer is considered not to train."""
STEPS_OF_OTHERS = 32
"""Steps of other optimizers since the main one stepped, after which the main one is done (layers trained in turn). The
largest of the others becomes the main one. Critics usually take half as many per step of their generator."""
PROVISIONAL_STEPS = 8
"""Steps up to which an optimizer was not training alone if a larger one appears then: a critic steps five times before
its generator."""


class OptimizerRecord:
    """One optimizer that stepped."""

    def __init__(self, optimizer: Any) -> None:
        self.ref = weakref.ref(optimizer)
        self.parameters = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        self.steps = 0
        self.depth = 1
        """Depth of the clock's stack when the current step began."""
        self.backwards = self.backwards_before = 0
        """Backwards in the process when its latest step began, and the one before."""


class Steps:
    """Patches of `torch.autograd.backward` and `grad`, and hooks on all optimizers that end the clock's updates."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._records: dict[int, OptimizerRecord] = {}
        self._main: OptimizerRecord | None = None
        self.forward_seen = False
        """True if a training forward has begun since the last counted backward; set by the observer of forwards."""
        self._any_forward = False
        self.backwards = 0
        self._main_steps = 0
        self._no_optimizer = False
        self._newest: OptimizerRecord | None = None
        self._others: list[OptimizerRecord] = []
        self._skipped: list[tuple[Any, Any]] = []
        self.before_step: Callable[[], None] = nothing
        """Callback before every step, from which the root search learns what the optimizers own."""
        self.before_backward: Callable[[], None] | None = None
        """Callback before every backward, whether or not a forward was seen."""
        self.rate_owner: Any = None
        """`Rates` while they follow a setting; None leaves them to the script."""
        self.rates: Any = None
        """`LearningRates` while steps run with rates other than the groups'; None leaves them."""
        self.loss_kind: str | None = None
        """Name of the function of the first loss's gradient."""
        self.interventions: dict[int, Any] = {}
        self._around: Callable[..., Any] | None = None
        self._taken_by: Any = None
        self.on_micro_step: Callable[[], None] = nothing
        """Callback at the start of a backward that counts as a micro-step."""
        self.closures_seen = False
        self.retains_graph = False
        """True if the last backward that counts as a micro-step kept its graph."""
        self.repeated_backwards = 0
        """Number of those that add to the gradients of another one, through the same forward."""
        self._kept_gradients = KeptGradients()
        self.gradients = 0
        """Number of calls of `torch.autograd.grad`."""
        self.blind_backwards = 0
        """Consecutive backwards without a call of a known model."""
        self.adopted = 0
        """Optimizers seen stepping so far."""
        self.takes_turns = False
        """True if another optimizer steps after a backward of its own, as in adversarial trainings."""
        self.main_changes = 0
        """Number of times that another optimizer became the one whose steps end updates."""

    # --- what others ask ------------------------------------------------------------------------------------------

    def optimizers(self) -> list[tuple[Any, OptimizerRecord, bool]]:
        """Return (optimizer, record, whether it is the main one), the largest first."""
        alive = [(record.ref(), record, record is self._main) for record in self._records.values()]
        return sorted(
            [(optimizer, record, main) for optimizer, record, main in alive if optimizer is not None],
            key=lambda entry: -entry[1].parameters,
        )

    def owned_parameters(self) -> set[int]:
        """Return parameter ids of all optimizers that stepped."""
        return {number for optimizer, _record, _main in self.optimizers() for number in parameter_ids(optimizer)}

    def main_parameters(self) -> set[int]:
        """Return the ids of the main optimizer's parameters."""
        return parameter_ids(self._main.ref() if self._main is not None else None)

    def newest_parameters(self) -> set[int]:
        """Return the ids of the parameters of the most recently adopted optimizer."""
        return parameter_ids(self._newest.ref() if self._newest is not None else None)

    def is_main(self, optimizer: object) -> bool:
        """Return whether its steps end the updates."""
        return self._main is not None and self._main.ref() is optimizer

    def by_hand(self) -> bool:
        """Return whether the script updates without any optimizer."""
        if self._main is not None or self.backwards <= BACKWARDS_WITHOUT_OPTIMIZER:
            return False
        if self.backwards == BACKWARDS_WITHOUT_OPTIMIZER + 1:
            # Wait for an optimizer whose first step follows a long accumulation.
            self._no_optimizer = not self._clock.exclude(all_optimizers)
        return self._no_optimizer or self.backwards > BACKWARDS_BEFORE_STEP

    # --- what stands between the script's calls and torch's -----------------------------------------------------------

    def intervene(self, place: int, intervention: object) -> None:
        """Run every backward inside `intervention.backward(inner, original, tensors, args, kwargs)` from now on.

        Lower places wrap higher ones. `before_step(optimizer, has_closure)` returns whether the intervention takes over
        that step; then `after_step(optimizer)` returns whether the step still ends an update. None removes it."""
        self.interventions.pop(place, None)
        if intervention is not None:
            self.interventions[place] = intervention
        around: Callable[..., Any] | None = None
        for one in sorted(self.interventions, reverse=True):
            inner = around if around is not None else _run
            around = functools.partial(self.interventions[one].backward, inner)
        self._around = around

    # --- installing -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Install the hooks right after torch was imported."""
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self._handles = (
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        )
        autograd, optimizer = torch.autograd, torch.optim.Optimizer
        self._patches = (
            (autograd, "backward", autograd.backward, self._timed_backward(autograd.backward)),
            (autograd, "grad", autograd.grad, self._timed(autograd.grad, BACKWARD)),
            (optimizer, "zero_grad", optimizer.zero_grad, self._timed(optimizer.zero_grad, OPTIMIZER)),
        )
        self.resume()

    def suspend(self) -> None:
        """Keep only the hooks for the end of an update, in windows that measure the cost of the hooks."""
        for owner, name, original, _timed in self._patches:
            if name != "backward" or self._around is None:
                setattr(owner, name, original)

    def resume(self) -> None:
        for owner, name, _original, timed in self._patches:
            setattr(owner, name, timed)

    def remove(self) -> None:
        """Undo `install`, which may be called again. Patches that others put over ours stay and still call through
        ours."""
        for handle in self._handles:
            handle.remove()
        for owner, name, original, timed in self._patches:
            if getattr(owner, name) is timed:
                setattr(owner, name, original)
        self._around = None
        self.interventions.clear()

    # --- backward -----------------------------------------------------------------------------------------------------

    def _timed_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        clock, get_ident = self._clock, threading.get_ident

        @stands_for(original)
        def backward(tensors: Any, *args: object, **kwargs: object) -> Any:
            if get_ident() != clock.owner and (self._records or clock.updates or not clock.own()):
                return original(tensors, *args, **kwargs)
            outermost = BACKWARD not in clock.stack
            if self.before_backward is not None:
                self.before_backward()
            # While no root is known, only backwards can be counted.
            if outermost and (self.forward_seen or not self._any_forward or not clock.micro_steps):
                self.blind_backwards = 0 if self.forward_seen else self.blind_backwards + 1
                self._any_forward = self._any_forward or self.forward_seen
                loss = tensors if hasattr(tensors, "detach") else tensors[0]
                self.loss_kind = self.loss_kind or type(getattr(loss, "grad_fn", None)).__name__
                clock.micro_step(noted_loss(loss))
                self.forward_seen = False
                self.retains_graph = bool(args[1] if len(args) > 1 else kwargs.get("retain_graph"))
                self.on_micro_step()
            elif outermost and self.retains_graph and self._kept_gradients.added_to:
                self.repeated_backwards += 1
            clock.push(BACKWARD)
            around = self._around
            try:
                if around is not None and outermost:
                    return around(original, tensors, args, kwargs)
                return original(tensors, *args, **kwargs)
            finally:
                clock.pop()
                if outermost:
                    self.backwards += 1
                    if self.retains_graph and self._main is not None:
                        self._kept_gradients.note(self._main.ref())
                    if self._main is None and self.by_hand():
                        self._end_by_hand()

        return backward

    def _timed(self, original: Callable[..., Any], phase: int) -> Callable[..., Any]:
        clock, get_ident = self._clock, threading.get_ident

        @stands_for(original)
        def timed(subject: object, *args: object, **kwargs: object) -> Any:
            if get_ident() != clock.owner:
                return original(subject, *args, **kwargs)
            self.gradients += phase == BACKWARD
            clock.push(phase)
            try:
                return original(subject, *args, **kwargs)
            finally:
                clock.pop()

        return timed

    def _end_by_hand(self) -> None:
        self.before_step()
        self._clock.end_update()

    # --- optimizer ----------------------------------------------------------------------------------------------------

    def _before_step(self, optimizer: object, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Begin a step; return its arguments with another closure, if it has one."""
        clock = self._clock
        if threading.get_ident() != clock.owner and (self._records or not clock.own()):
            return None
        record = self._records.get(id(optimizer))
        if record is None or record.ref() is not optimizer:
            record = self._adopt(optimizer)
        if record is not self._main:
            self._elect(record)
        # Torch's profiling wrapper passes (self, *args): a closure is the argument after self. Libraries pass on a None
        # closure.
        has_closure = (len(args) > 1 and args[1] is not None) or bool(kwargs and kwargs.get("closure") is not None)
        if has_closure:
            self.closures_seen = True
        self.before_step()
        if self.interventions:
            self._taken_by = self._taker(optimizer, has_closure)
        if self.rate_owner is not None:
            self.rate_owner.before_step(optimizer)
        if self.rates is not None:
            self.rates.before_step(optimizer)
        record.depth = len(clock.stack)
        record.backwards_before, record.backwards = record.backwards, self.backwards
        clock.push(OPTIMIZER)
        if not has_closure:
            return None
        if len(args) > 1:
            return (args[0], self._timed_closure(args[1]), *args[2:]), kwargs
        return args, {**kwargs, "closure": self._timed_closure(kwargs["closure"])}

    def _timed_closure(self, closure: Callable[[], object]) -> Callable[[], object]:
        """Return a closure whose work is the script's own: only what the optimizer adds to it is the optimizer's."""
        clock = self._clock

        @stands_for(closure)
        def timed() -> object:
            depth = clock.depth
            clock.push(OTHER)
            try:
                return closure()
            finally:
                clock.pop_to(depth)

        return timed

    def _after_step(self, optimizer: object, _args: object, _kwargs: object) -> None:
        clock = self._clock
        if threading.get_ident() != clock.owner:
            return
        record = self._records.get(id(optimizer))
        if record is None or record.ref() is not optimizer:
            return
        self._kept_gradients.stepped()
        if self.rates is not None:
            self.rates.after_step(optimizer)
        if self.rate_owner is not None:
            self.rate_owner.after_step(optimizer)
        taker, self._taken_by = self._taken_by, None
        if taker is not None and not taker.after_step(optimizer):
            clock.pop_to(record.depth)
            return
        record.steps += 1
        if record is self._main:
            if len(self._records) > 1:
                began, ended = record.backwards_before, record.backwards
                self.takes_turns = any(began < one.backwards < ended for one in self._records.values())
            clock.end_update()
        else:
            clock.pop_to(record.depth)

    def _taker(self, optimizer: object, has_closure: bool) -> Any:
        for place in sorted(self.interventions):
            if self.interventions[place].before_step(optimizer, has_closure):
                return self.interventions[place]
        return None

    def _adopt(self, optimizer: object) -> OptimizerRecord:
        record = self._newest = self._records[id(optimizer)] = OptimizerRecord(optimizer)
        self.adopted += 1
        if self._main is None or self._main.ref() is None or record.parameters >= self._main.parameters:
            if self._main is not None and self._main.steps <= PROVISIONAL_STEPS:
                # It was the main one only until this one appeared: its steps were parts of the first update.
                self._clock.updates -= min(self._main.steps, self._clock.updates)
            self._make_main(record)
        return record

    def _elect(self, record: OptimizerRecord) -> None:
        """Reconsider the main optimizer, which may be done, after a step of another one."""
        others = self._others
        if self._main is None or self._main.ref() is None or record.parameters > self._main.parameters:
            self._make_main(record)
            return
        if self._main.steps != self._main_steps:
            self._main_steps = self._main.steps
            others.clear()
        others.append(record)
        if len(others) > STEPS_OF_OTHERS:
            self._make_main(max(others, key=lambda other: other.parameters))

    def _make_main(self, record: OptimizerRecord) -> None:
        self._main = record
        self._main_steps = record.steps
        self._others.clear()
        self.main_changes += 1

    # --- the what-if with no update -----------------------------------------------------------------------------------

    def skip_updates(self, on: bool) -> None:
        """Make `step()` of every optimizer run only its closure while on; state and rates stay unchanged."""
        if on and not self._skipped:
            for optimizer, _record, _main in self.optimizers():
                self._skipped.append((optimizer, optimizer.__dict__.get("step")))
                optimizer.__dict__["step"] = self._empty_step(optimizer)
        elif not on:
            for optimizer, previous in self._skipped:
                if previous is None:
                    optimizer.__dict__.pop("step", None)
                else:
                    optimizer.__dict__["step"] = previous
            self._skipped = []

    def _empty_step(self, optimizer: Optimizer) -> Callable[..., object]:
        @passes_on
        def step(closure: Callable[[], object] | None = None, *_args: object, **_kwargs: object) -> object:
            self._records[id(optimizer)].depth = self._clock.depth
            self._clock.push(OPTIMIZER)
            result = self._timed_closure(closure)() if closure is not None else None
            self._after_step(optimizer, (), {})
            return result

        # Schedulers check this mark to warn about a wrong order of calls.
        step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
        return step


@passes_on
def _run(original: Callable[..., object], tensors: object, args: Any, kwargs: Any) -> object:
    return original(tensors, *args, **kwargs)


def parameter_ids(optimizer: Any) -> set[int]:
    """Return the ids of an optimizer's parameters; none of None."""
    return {id(parameter) for group in getattr(optimizer, "param_groups", ()) for parameter in group["params"]}


def all_optimizers() -> list[Any]:
    """Return the torch optimizers that the process holds, without our own."""
    import torch

    held = [item for item in gc.get_objects() if issubclass(type(item), torch.optim.Optimizer)]
    return [item for item in held if not agent_optimizers.is_ours(item)]

"""Backward passes and optimizer steps: what a micro-step and an update are."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from typing import Any, Callable

from .clock import BACKWARD, OPTIMIZER, StepClock
from .pass_through import passes_on

BACKWARDS_WITHOUT_OPTIMIZER = 8
"""So many backwards in a process without an optimizer: the script updates its parameters by hand, and a backward ends
the update."""
BACKWARDS_BEFORE_STEP = 4096
"""So many backwards although there is an optimizer: it is not the one that trains."""
STEPS_OF_OTHERS = 32
"""So many steps of other optimizers since the main one stepped: it is done (layers trained one after the other), and
the largest of the others is the main one now. Twice what critics usually take for a step of their generator."""


PROVISIONAL_STEPS = 8
"""An optimizer that has stepped no more often than this when a larger one appears was not training alone: a critic
steps five times before its generator."""


class OptimizerRecord:
    """One optimizer that stepped."""

    def __init__(self, optimizer: Any) -> None:
        self.ref = weakref.ref(optimizer)
        self.parameters = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
        self.steps = 0
        self.depth = 1
        """Of the clock's stack when its present step began."""


class Steps:
    """Patches `torch.autograd.backward` and `grad`, hooks all optimizers, and tells the clock where updates end."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._records: dict[int, OptimizerRecord] = {}
        self._main: OptimizerRecord | None = None
        self.forward_seen = False
        """A forward that trains has begun since the last backward that counted; set by whoever sees forwards."""
        self._any_forward = False
        self._backwards = 0
        self._main_steps = 0
        self._no_optimizer = False
        self._newest: OptimizerRecord | None = None
        self._others: list[OptimizerRecord] = []
        self._skipped: list[tuple[Any, Any]] = []
        self.before_step: Callable[[], None] = _nothing
        """Called before every step: whoever seeks the roots learns here what the optimizers own."""
        self.before_backward: Callable[[], None] | None = None
        """Called before every backward, whether a forward was seen or not."""
        self.rates: Any = None
        """`LearningRates` while a step is to run with others than the script's; None leaves them."""
        self._interventions: dict[int, Any] = {}
        self._around: Callable[..., Any] | None = None
        self._taken_by: Any = None
        self.on_micro_step: Callable[[], None] = _nothing
        """Called where a backward that counts as a micro-step begins."""
        self.closures_seen = False
        self.blind_backwards = 0
        """Backwards in a row that no known model was called for."""
        self.adopted = 0
        """Optimizers seen to step so far."""
        self.main_changes = 0
        """How often another optimizer became the one whose steps end updates."""

    # --- what others ask ------------------------------------------------------------------------------------------

    def optimizers(self) -> list[tuple[Any, OptimizerRecord, bool]]:
        """(optimizer, record, whether it is the main one), the largest first."""
        alive = [(record.ref(), record, record is self._main) for record in self._records.values()]
        return sorted(
            [(optimizer, record, main) for optimizer, record, main in alive if optimizer is not None],
            key=lambda entry: -entry[1].parameters,
        )

    def owned_parameters(self) -> set[int]:
        """Ids of the parameters that an optimizer which stepped owns."""
        return {number for optimizer, _record, _main in self.optimizers() for number in _parameter_ids(optimizer)}

    def main_parameters(self) -> set[int]:
        """Ids of those that the main optimizer owns."""
        return _parameter_ids(self._main.ref() if self._main is not None else None)

    def newest_parameters(self) -> set[int]:
        """Ids of those of the optimizer that was seen to step for the first time last."""
        return _parameter_ids(self._newest.ref() if self._newest is not None else None)

    def is_main(self, optimizer: Any) -> bool:
        """Whether its steps end the updates."""
        return self._main is not None and self._main.ref() is optimizer

    def by_hand(self) -> bool:
        """Whether the script updates with no optimizer at all."""
        if self._main is not None or self._backwards <= BACKWARDS_WITHOUT_OPTIMIZER:
            return False
        if self._backwards == BACKWARDS_WITHOUT_OPTIMIZER + 1:
            # One whose first step comes after long accumulation is waited for.
            self._no_optimizer = not self._clock.exclude(_optimizer_alive)
        return self._no_optimizer or self._backwards > BACKWARDS_BEFORE_STEP

    # --- what stands between the script's calls and torch's -----------------------------------------------------------

    def intervene(self, place: int, intervention: Any) -> None:
        """From now on every backward runs inside `intervention.backward(inner, original, tensors, args, kwargs)`, the
        lower place outside the higher; `before_step(optimizer, has_closure)` says whether it takes that step over, and
        then `after_step(optimizer)` whether the step ends an update all the same. None takes it away."""
        self._interventions.pop(place, None)
        if intervention is not None:
            self._interventions[place] = intervention
        around: Callable[..., Any] | None = None
        for one in sorted(self._interventions, reverse=True):
            inner = around if around is not None else _run
            around = functools.partial(self._interventions[one].backward, inner)
        self._around = around

    # --- installing -------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Right after torch was imported."""
        import torch
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self._handles = (
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        )
        self._backward_original = torch.autograd.backward
        self._grad_original = torch.autograd.grad
        self._zero_original = torch.optim.Optimizer.zero_grad
        self._patches = (
            (torch.autograd, "backward", self._backward_original, self._timed_backward(self._backward_original)),
            (torch.autograd, "grad", self._grad_original, self._timed_grad(self._grad_original)),
            (torch.optim.Optimizer, "zero_grad", self._zero_original, self._timed_zero(self._zero_original)),
        )
        self.resume()

    def suspend(self) -> None:
        """Leave only the end of an update: for windows that measure what the hooks cost."""
        for owner, name, original, _timed in self._patches:
            if name != "backward" or self._around is None:
                setattr(owner, name, original)

    def resume(self) -> None:
        for owner, name, _original, timed in self._patches:
            setattr(owner, name, timed)

    def remove(self) -> None:
        """Everything as before `install`, which may be called again. What somebody else has put over ours stays, and
        goes on through it."""
        for handle in self._handles:
            handle.remove()
        for owner, name, original, timed in self._patches:
            if getattr(owner, name) is timed:
                setattr(owner, name, original)
        self._around = None
        self._interventions.clear()

    # --- backward -----------------------------------------------------------------------------------------------------

    def _timed_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        clock, get_ident = self._clock, threading.get_ident

        @passes_on
        @functools.wraps(original)
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if get_ident() != clock.owner and (self._records or clock.updates or not clock.own()):
                return original(tensors, *args, **kwargs)
            outermost = BACKWARD not in clock.stack
            if self.before_backward is not None:
                self.before_backward()
            # Where no root is known (yet), a backward is all there is to count by.
            if outermost and (self.forward_seen or not self._any_forward or not clock.micro_steps):
                if self.forward_seen:
                    self.blind_backwards, self._any_forward = 0, True
                else:
                    self.blind_backwards += 1
                loss = tensors if hasattr(tensors, "detach") else tensors[0]
                clock.micro_step(_noted(loss))
                self.forward_seen = False
                self.on_micro_step()
            clock.push(BACKWARD)
            around = self._around
            try:
                if around is not None and outermost:
                    return around(original, tensors, args, kwargs)
                return original(tensors, *args, **kwargs)
            finally:
                clock.pop()
                if outermost:
                    self._backwards += 1
                    if self._main is None and self.by_hand():
                        self._end_by_hand()

        return backward

    def _timed_grad(self, original: Callable[..., Any]) -> Callable[..., Any]:
        clock = self._clock

        @passes_on
        @functools.wraps(original)
        def grad(outputs: Any, *args: Any, **kwargs: Any) -> Any:
            if not clock.mine():
                return original(outputs, *args, **kwargs)
            clock.push(BACKWARD)
            try:
                return original(outputs, *args, **kwargs)
            finally:
                clock.pop()

        return grad

    def _timed_zero(self, original: Callable[..., Any]) -> Callable[..., Any]:
        clock, get_ident = self._clock, threading.get_ident

        @passes_on
        @functools.wraps(original)
        def zero_grad(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if get_ident() != clock.owner:
                return original(optimizer, *args, **kwargs)
            clock.push(OPTIMIZER)
            try:
                return original(optimizer, *args, **kwargs)
            finally:
                clock.pop()

        return zero_grad

    def _end_by_hand(self) -> None:
        self.before_step()
        self._clock.end_update()

    # --- optimizer ----------------------------------------------------------------------------------------------------

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        clock = self._clock
        if threading.get_ident() != clock.owner and (self._records or not clock.own()):
            return
        record = self._records.get(id(optimizer))
        if record is None or record.ref() is not optimizer:
            record = self._adopt(optimizer)
        if record is not self._main:
            self._elect(record)
        # The profiling wrapper of torch hands over (self, *args): a closure is the argument behind it. Libraries hand
        # on one that is None.
        has_closure = (len(args) > 1 and args[1] is not None) or bool(kwargs and kwargs.get("closure") is not None)
        if has_closure:
            self.closures_seen = True
        self.before_step()
        if self._interventions:
            self._taken_by = self._taker(optimizer, has_closure)
        if self.rates is not None:
            self.rates.before_step(optimizer)
        record.depth = clock.depth
        clock.push(OPTIMIZER)

    def _after_step(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        clock = self._clock
        if threading.get_ident() != clock.owner:
            return
        record = self._records.get(id(optimizer))
        if record is None or record.ref() is not optimizer:
            return
        if self.rates is not None:
            self.rates.after_step(optimizer)
        taker, self._taken_by = self._taken_by, None
        if taker is not None and not taker.after_step(optimizer):
            clock.pop_to(record.depth)
            return
        record.steps += 1
        if record is self._main:
            clock.end_update()
        else:
            clock.pop_to(record.depth)

    def _taker(self, optimizer: Any, has_closure: bool) -> Any:
        for place in sorted(self._interventions):
            if self._interventions[place].before_step(optimizer, has_closure):
                return self._interventions[place]
        return None

    def _adopt(self, optimizer: Any) -> OptimizerRecord:
        record = self._newest = self._records[id(optimizer)] = OptimizerRecord(optimizer)
        self.adopted += 1
        if self._main is None or self._main.ref() is None or record.parameters >= self._main.parameters:
            if self._main is not None and self._main.steps <= PROVISIONAL_STEPS:
                # It was the main one only until this one was seen: its steps were parts of the first update.
                self._clock.updates -= min(self._main.steps, self._clock.updates)
            self._make_main(record)
        return record

    def _elect(self, record: OptimizerRecord) -> None:
        """A step of another optimizer than the main one: the main one may be done."""
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
        """While on, `step()` of every optimizer runs its closure and changes nothing; state and rates stay."""
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

    def _empty_step(self, optimizer: Any) -> Callable[..., Any]:
        @passes_on
        def step(closure: Callable[[], Any] | None = None, *_args: Any, **_kwargs: Any) -> Any:
            self._records[id(optimizer)].depth = self._clock.depth
            self._clock.push(OPTIMIZER)
            result = closure() if closure is not None else None
            self._after_step(optimizer, (), {})
            return result

        # Schedulers look for these marks to warn of a wrong order of calls.
        step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
        return step


def _noted(loss: Any) -> Any:
    """A loss to be read later. On the CPU it is its value already: a tensor of ours that outlives its update keeps the
    allocator from using the same memory for the next one, which cost 20 page faults an update of 1 ms. On an
    accelerator reading would wait for the device."""
    if loss.is_cpu and loss.numel() == 1:
        return loss.item()
    return loss.detach()


@passes_on
def _run(original: Callable[..., Any], tensors: Any, args: Any, kwargs: Any) -> Any:
    return original(tensors, *args, **kwargs)


def _parameter_ids(optimizer: Any) -> set[int]:
    if optimizer is None:
        return set()
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _optimizer_alive() -> bool:
    """Whether there is an optimizer of torch anywhere in the process."""
    import torch

    return any(issubclass(type(item), torch.optim.Optimizer) for item in gc.get_objects())


def _nothing() -> None:
    return None

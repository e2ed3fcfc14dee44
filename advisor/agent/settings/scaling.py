"""Loss scaling for fp16, from outside: gradients too small for fp16 are kept, and steps with an overflow are skipped.

The loss is scaled when backward is entered, and gradients are unscaled right after it. The script therefore clips, logs
and accumulates true gradients. The result equals, bit for bit, a hand-written `GradScaler` that is unscaled before the
clipping: the scale is a power of two.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base.pass_through import passes_on
from ..loop.roots import all_modules
from ..loop.schedulers import ScheduleHold
from ..loop.steps import Steps, all_optimizers
from .backward import Inner, creates_graph, scaled
from .gradients import parameters_of, take_gradients

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

PLACE = 2
"""Place inside accumulation, whose gradients are scaled and unscaled like all others."""
FIRST_SCALE = 2.0**16
GROWTH, BACKOFF = 2.0, 0.5
GROWTH_STEPS = 2000
"""Steps without an overflow before a larger scale is tried; these four values are torch's own defaults."""
CLOSURE = "the optimizer is stepped with a closure: a step with an overflow could not be skipped"
NOBODY = -1
SHARDED = ("_local_tensor", "_fsdp_flattened")
"""Attributes of parameters spread over processes only (by `fully_shard`, and by `FullyShardedDataParallel`)."""
MOST_NODES = 50_000
"""Limit on graph nodes in the one search for gradients that the script requests besides those of its parameters."""


class Scaler:
    """Loss scaler, one per process. It does nothing, and costs nothing, until it is started; stops keep the scale."""

    def __init__(self, steps: Steps, schedules: ScheduleHold, gave_up: Callable[[str], None]) -> None:
        """Prepare; `gave_up` is called with the reason when scaling cannot continue, and must stop it."""
        self._steps = steps
        self._gave_up = gave_up
        self._schedules = schedules
        self._owners = Owners(self._has_stepped)
        self.scale = FIRST_SCALE
        self.skipped = 0
        """Steps skipped so far because a gradient overflowed."""
        self._good_steps = 0
        self._checked_owners = False
        self._found: dict[int, dict[object, Any]] = {}
        self._inverse: dict[object, Any] = {}
        self._overflow = False
        self._update_due = False
        """True once the main optimizer has stepped: the scale is updated before the next backward, after all others."""
        self._set_aside: list[tuple[Any, object]] = []
        self._steps_taken = 0
        self._last_was_skipped = False
        self._stepped_at: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        self.on = False

    def start(self) -> None:
        """Start scaling. Raises Refused if the script's way to step does not allow it."""
        if self._steps.closures_seen:
            raise Refused(CLOSURE)
        self._checked_owners = self._last_was_skipped = False
        self._steps.intervene(PLACE, self)
        self._schedules.add(self._holds)
        self.on = True

    def stop(self) -> None:
        if not self.on:
            return
        self.on = False
        self._steps.intervene(PLACE, None)
        self._schedules.remove(self._holds)
        self._owners.forget()
        self._found.clear()
        self._inverse.clear()

    # --- backward -----------------------------------------------------------------------------------------------------

    @passes_on
    def backward(
        self, inner: Inner, original: Callable[..., object], tensors: object, args: Any, kwargs: Any
    ) -> object:
        if creates_graph(args, kwargs):
            return inner(original, tensors, args, kwargs)
        if self._update_due:
            self._update_scale()
        self._owners.follow()
        if not self._checked_owners:
            self._checked_owners = True
            stranger = self._owners.stranger(tensors if isinstance(tensors, (list, tuple)) else [tensors])
            if stranger is not None:
                self._gave_up(stranger)
                return inner(original, tensors, args, kwargs)
        for _owner, gradients in self._owners.gradients():
            _multiply(gradients, self.scale)
        args, kwargs = scaled(tensors, args, kwargs, self.scale)
        try:
            return inner(original, tensors, args, kwargs)
        finally:
            for owner, gradients in self._owners.gradients():
                self._unscale(owner, gradients)

    def _unscale(self, owner: int, gradients: list[Any]) -> None:
        import torch

        flags = self._found.setdefault(owner, {})
        for (device, _dtype), same in _by_kind(gradients).items():
            if device not in flags:
                flags[device] = torch.zeros((), dtype=torch.float32, device=device)
            if device not in self._inverse:
                self._inverse[device] = torch.full((), 1 / self.scale, dtype=torch.float32, device=device)
            torch._amp_foreach_non_finite_check_and_unscale_(same, flags[device], self._inverse[device])

    # --- steps --------------------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Optimizer, has_closure: bool) -> bool:
        if has_closure:
            self._gave_up(CLOSURE)
            return False
        taken = self._owners.take_from_idle(optimizer)
        owners, unseen = self._owners.of(optimizer)
        if unseen:  # created since, so nobody has unscaled its gradients
            self._unscale(owners[0], unseen)
        flags = [flag for owner in owners for flag in self._found.pop(owner, {}).values()]
        overflow = any(bool(flag.item()) for flag in flags) or not all(
            gradient.isfinite().all().item() for gradient in taken
        )
        self._overflow |= overflow
        self._steps_taken += 1
        self._last_was_skipped = overflow
        self._update_due |= self._steps.is_main(optimizer)
        if overflow:
            self.skipped += 1
            self._set_aside = take_gradients(optimizer)
        return overflow

    def _has_stepped(self, optimizer: Optimizer) -> bool:
        return any(known is optimizer and record.steps for known, record, _main in self._steps.optimizers())

    def after_step(self, _optimizer: Optimizer) -> bool:
        for parameter, gradient in self._set_aside:
            parameter.grad = gradient
        self._set_aside = []
        return True

    def _update_scale(self) -> None:
        overflow, self._overflow, self._update_due = self._overflow, False, False
        self._good_steps = 0 if overflow else self._good_steps + 1
        factor = BACKOFF if overflow else GROWTH if self._good_steps == GROWTH_STEPS else 1.0
        if factor != 1.0:
            self._good_steps = 0
            self.scale *= factor
            self._inverse.clear()

    # --- the schedule -------------------------------------------------------------------------------------------------

    def _holds(self, schedule: object) -> bool:
        """Return whether to hold the schedule: one of updates is held for a skipped step, one of epochs is not.

        The steps between its last two calls tell which it is; after the first step it counts as one of updates.
        """
        before = self._stepped_at.get(schedule, self._steps_taken - 1)
        self._stepped_at[schedule] = self._steps_taken
        return self._last_was_skipped and self._steps_taken - before <= 1


class Owners:
    """Owners of gradients: each parameter belongs to the first optimizer that has it, or to no one.

    Optimizers that have stepped come first: a script may keep another with the same parameters that never steps.
    """

    def __init__(self, has_stepped: Callable[[Any], bool]) -> None:
        self._has_stepped = has_stepped
        self._optimizers: list[weakref.ref[Optimizer]] = []
        self._count = -1
        self._parameters: list[tuple[int, list[Any]]] = []
        self._owner: dict[int, int] = {}
        self._of: dict[int, list[int]] = {}
        self._ownerless: list[object] = []

    def forget(self) -> None:
        self.__init__(self._has_stepped)  # type: ignore[misc]

    def follow(self) -> None:
        """Search again if an optimizer has gained parameters: a gradient that stayed scaled would be far off.

        The first search finds all optimizers of the process, also those that have not stepped yet.
        """
        alive = self._alive()
        count = sum(len(group["params"]) for o in alive for group in getattr(o, "param_groups", ()))
        if count != self._count:
            self._collect(all_optimizers() if self._count < 0 else alive)

    def _alive(self) -> list[object]:
        return [optimizer for ref in self._optimizers if (optimizer := ref()) is not None]

    def _collect(self, optimizers: list[Any]) -> None:
        optimizers = sorted(optimizers, key=self._has_stepped, reverse=True)  # otherwise the order stays
        self._optimizers = [weakref.ref(optimizer) for optimizer in optimizers]
        self._owner, self._parameters, self._of = {}, [], {}
        self._count = 0
        for optimizer in optimizers:
            mine = []
            for parameter in parameters_of(optimizer):
                self._count += 1
                if id(parameter) not in self._owner:
                    self._owner[id(parameter)] = id(optimizer)
                    mine.append(parameter)
            self._parameters.append((id(optimizer), mine))
        self._ownerless = [parameter for parameter in self._ownerless if id(parameter) not in self._owner]
        self._owner.update((id(parameter), NOBODY) for parameter in self._ownerless)
        self._parameters.append((NOBODY, self._ownerless))

    def take_from_idle(self, optimizer: Optimizer) -> list[Any]:
        """Give an optimizer, before its first step, the parameters it shares with one that has never stepped.

        Returns the gradients of those parameters, whose flags are the other's.
        """
        if id(optimizer) in self._of:
            return []
        others = [other for other in self._alive() if other is not optimizer]
        idle = {id(other) for other in others if not self._has_stepped(other)}
        shared = [p for p in parameters_of(optimizer) if self._owner.get(id(p)) in idle]
        if shared:
            self._collect([optimizer, *others])
        return [_dense(p.grad) for p in shared if p.grad is not None]

    def of(self, optimizer: Optimizer) -> tuple[list[int], list[object]]:
        """Return the owners of the optimizer's parameters, and the gradients of parameters unknown so far."""
        known = self._of.get(id(optimizer))
        if known is not None:
            return known, []
        unseen = [parameter for parameter in parameters_of(optimizer) if id(parameter) not in self._owner]
        others = [other for other in self._alive() if other is not optimizer]
        if unseen or len(others) == len(self._optimizers):
            self._collect([*others, optimizer])
        owners = self._of[id(optimizer)] = sorted({self._owner[id(p)] for p in parameters_of(optimizer)})
        return owners, [_dense(p.grad) for p in unseen if p.grad is not None]

    def gradients(self) -> list[tuple[int, list[Any]]]:
        """Return (owner, existing gradients) pairs."""
        found = []
        for owner, parameters in self._parameters:
            there = [_dense(gradient) for parameter in parameters if (gradient := parameter.grad) is not None]
            if there:
                found.append((owner, there))
        return found

    def stranger(self, tensors: Sequence[object]) -> str | None:
        """Return why the loss cannot be scaled; None if it can. Parameters without an optimizer are adopted.

        One reason is the gradient of a tensor that is no parameter: the script's use of it is unknown.
        """
        found = _leaves(tensors)
        if any(hasattr(leaf, mark) for leaf in found for mark in SHARDED):
            return "each process holds part of every gradient, so that only one sees an overflow"
        leaves = [leaf for leaf in found if id(leaf) not in self._owner]
        modules = _parameters_of_modules() if leaves else set()
        for leaf in leaves:
            if id(leaf) not in modules:
                return (
                    f"the script computes the gradient of a tensor of shape {list(leaf.shape)} that is not a parameter"
                )
            self._ownerless.append(leaf)
            self._owner[id(leaf)] = NOBODY
        return None


def _dense(gradient: Tensor) -> object:
    return gradient._values() if gradient.is_sparse else gradient


def _multiply(gradients: list[Tensor], factor: float) -> None:
    import torch

    with torch.no_grad():
        for same in _by_kind(gradients).values():
            torch._foreach_mul_(same, factor)


def _by_kind(gradients: list[Tensor]) -> dict[tuple[Any, object], list[Any]]:
    """Group gradients by device and dtype: torch multiplies only such a group in one call."""
    found: dict[tuple[object, object], list[object]] = {}
    for gradient in gradients:
        found.setdefault((gradient.device, gradient.dtype), []).append(gradient)
    return found


def _parameters_of_modules() -> set[int]:
    own = [module.__dict__.get("_parameters") or {} for module in all_modules()]
    return {id(parameter) for parameters in own for parameter in parameters.values()}


def _leaves(tensors: Sequence[Any]) -> list[Any]:
    """Return the tensors that a backward from these would give a gradient to."""
    pending = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen = set(pending)
    found = []
    while pending and len(seen) < MOST_NODES:
        node = pending.pop()
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.append(variable)
        for following, _number in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                pending.append(following)
    return found

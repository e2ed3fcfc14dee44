"""Time that this rank waits in collectives: those that the script calls, and those at the end of a backward.

Wrappers such as DDP and FSDP send gradients while the backward still computes, and wait for the last of them at its
end, in a callback of autograd's engine. Callbacks run in the order in which they were queued: one of ours, queued by
the loss's own gradient, marks the end of the computation. What follows it is the part that nothing hides.

On an accelerator with its own collectives these calls only enqueue them, and the trace of the device shows the wait.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import Any, Callable

from ...refused import Refused
from ..base import imports
from ..base.pass_through import passes_on, stands_for
from ..base.patches import Patches
from ..loop.clock import StepClock
from ..loop.roots import Roots
from ..loop.steps import Steps
from ..settings.gradients import parameters_of
from ..settings.ranks import give_of_first
from .joined_ranks import JoinedRanks

PLACE = 9
"""Place among the interventions on backward: next to torch's own."""
FUNCTIONS = (
    "all_reduce",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "monitored_barrier",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "send",
    "_broadcast_coalesced",
)
"""Functions of torch.distributed that wait for other ranks; the last one is how DDP sends buffers before a forward."""


class Communication:
    """Watch on collectives; the time goes to the update in which it was spent."""

    def __init__(self, clock: StepClock, steps: Steps, roots: Roots) -> None:
        self._clock = clock
        self._steps = steps
        self._roots = roots
        self._patches = Patches()
        self._joined = JoinedRanks(clock)
        self._inside = False
        """True within a call that is timed already."""
        self._computed_ns = 0
        """End of the computation of the present backward; 0 before it."""
        self._calls: dict[str, list[int]] = {}
        """Function → calls, bytes, nanoseconds since the last `take`."""
        self._silent: list[Any] = []
        """Modules that send no gradients at present."""
        self.is_ending = False
        """True once the script ends: other ranks may be gone, and nothing is sent to them."""

    def install(self) -> None:
        """Watch from the import of torch.distributed on, which torch itself imports where it can."""
        imports.when_imported("torch.distributed", self._imported)
        self._joined.install()
        self.resume()

    def suspend(self) -> None:
        self._steps.intervene(PLACE, None)

    def resume(self) -> None:
        self._steps.intervene(PLACE, self)

    def take(self) -> dict[str, list[int]]:
        """Return [calls, bytes, nanoseconds] of every function since the last call."""
        calls, self._calls = self._calls, {}
        return calls

    # --- the what-if without sending ----------------------------------------------------------------------------------

    def stop_sending(self, on: bool) -> None:
        """Keep gradients to each rank while on; afterwards all have the parameters and states of rank 0.

        Every rank calls this at the end of the same update. Raises Refused where no module can be kept from sending.
        """
        if on:
            self._silent = [module for module in self._wrapped() if module.require_backward_grad_sync]
            if not self._silent:
                raise Refused("no DistributedDataParallel was found that sends gradients")
            for module in self._silent:
                module.require_backward_grad_sync = False
            return
        silent, self._silent = self._silent, []
        for module in silent:
            module.require_backward_grad_sync = True
        if silent and not self.is_ending:
            self._make_equal(silent)

    def _wrapped(self) -> list[Any]:
        roots = [root.ref() for root in self._roots.called()]
        modules = [module for root in roots if root is not None for module in root.modules()]
        return [module for module in modules if hasattr(module, "require_backward_grad_sync")]

    def _make_equal(self, modules: list[Any]) -> None:
        """Send parameters, buffers and the optimizers' states of rank 0 to all others."""
        held = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
        for optimizer, _record, _main in self._steps.optimizers():
            for parameter in parameters_of(optimizer):
                held += [one for _name, one in sorted(optimizer.state.get(parameter, {}).items())]
        outer, self._inside = self._inside, True
        try:
            give_of_first(one for one in held if hasattr(one, "element_size") and one.device == held[0].device)
        finally:
            self._inside = outer

    def _imported(self, module: Any) -> None:
        if not module.is_available():
            return
        inner = sys.modules.get("torch.distributed.distributed_c10d")
        for name in FUNCTIONS:
            original = getattr(module, name, None)
            if original is None:
                continue
            timed = self._timed(name, original)
            for owner in (module, inner):
                if owner is not None and getattr(owner, name, None) is original:
                    self._patches.replace(owner, name, lambda _original, timed=timed: timed)  # type: ignore[misc]
        work = getattr(module, "Work", None)
        if work is not None:
            self._patches.replace(work, "wait", lambda original: self._timed("wait", original))

    def _timed(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        clock, get_ident, now = self._clock, threading.get_ident, time.perf_counter_ns

        @stands_for(original, in_c=True)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside or get_ident() != clock.owner:
                return original(*args, **kwargs)
            self._inside = True
            begin = now()
            try:
                return original(*args, **kwargs)
            finally:
                self._inside = False
                self._note(name, now() - begin, args, kwargs)

        return timed

    def _note(self, name: str, spent_ns: int, args: Any, kwargs: Any) -> None:
        self._clock.events += 1
        if not self._computed_ns:  # else the end of the backward counts it
            self._clock.add_communication(spent_ns)
        counted = self._calls.setdefault(name, [0, 0, 0])
        counted[0] += 1
        counted[1] += 0 if name == "wait" else max((_bytes_of(one) for one in (*args, *kwargs.values())), default=0)
        counted[2] += spent_ns

    # --- backward -----------------------------------------------------------------------------------------------------

    @passes_on
    def backward(self, inner: Any, original: Any, tensors: Any, args: Any, kwargs: Any) -> Any:
        """Run a backward and count the time from the last gradient's computation to its end."""
        self._computed_ns = 0
        handle = self._mark_end_of(tensors)
        try:
            return inner(original, tensors, args, kwargs)
        finally:
            if self._computed_ns:
                self._clock.add_communication(time.perf_counter_ns() - self._computed_ns)
                self._computed_ns = 0
            if handle is not None:
                handle.remove()

    def before_step(self, _optimizer: object, _has_closure: bool) -> bool:
        """Leave every step to the optimizer."""
        return False

    def _mark_end_of(self, tensors: Any) -> Any:
        """Have the first gradient of this backward queue our callback, before all others."""
        loss: Any = tensors if hasattr(tensors, "detach") else next(iter(tensors), None)
        if getattr(loss, "grad_fn", None) is None:
            return None
        handle = loss.register_hook(self._queue)
        with contextlib.suppress(AttributeError, KeyError):
            loss._backward_hooks.move_to_end(handle.id, last=False)  # a wrapper's own hook may queue the wait
        return handle

    def _queue(self, _gradient: object) -> None:
        import torch

        torch.autograd.Variable._execution_engine.queue_callback(self._computed)

    def _computed(self) -> None:
        self._computed_ns = time.perf_counter_ns()


def _bytes_of(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes_of, value))
    if not hasattr(value, "element_size"):
        return 0
    return int(value.numel()) * int(value.element_size())

"""Trace window: calls by user line, operators, FLOPs and kept activations, all within the same few updates."""

from __future__ import annotations

from typing import Any

from ..base import forks, modes
from ..base.slots import is_compiled
from ..settings.controls import Controls
from .compiled_calls import CompiledCalls
from .flops import FlopCount
from .memory import Activations, memory_in_use
from .parts import PartWatch
from .thrown_gradients import ThrownGradients
from .trace import Tracer


class Tracing:
    """Observers of a trace window, called at the ends of updates; timings in between are not used for rates."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._activations = Activations()
        self._tracer = Tracer(controls.clock)
        self._flops = FlopCount(controls.clock)
        self._parts = PartWatch(controls, self._flops, self._activations)
        self._thrown = ThrownGradients(lambda: controls.clock.owner, lambda: self._tracer.operators.total_ns)
        self._updates_before = 0
        self._calls = CompiledCalls(self._concerned, self._step_aside, self._tracer.step_back)
        forks.watch(self)

    def forked(self) -> None:
        """Stop in a child, whose thread inherits open modes and hooks: every operator would be observed."""
        self._calls.stop()
        self._step_aside()

    def settle(self) -> None:
        """Watch from now on whether updates enter compiled code; if they do, no operators or activations are
        observed."""
        self._calls.watch()

    def start(self) -> None:
        compiled = self._compiled()
        self._updates_before = self._controls.clock.updates
        if not compiled:
            self._parts.find()
        self._activations.start(compiled)
        self._tracer.start(compiled)
        self._flops.start(compiled)  # on top of the tracer, whose durations are then those of the operators alone
        if self._tracer.why_no_operators is None:
            self._parts.start(self._tracer.operators)
            self._tracer.know_buffers([buffer for model in self._models() for buffer in model.buffers()])
            self._thrown.start([one for one, _record, _is_main in self._controls.steps.optimizers()])
        if self._calls.inside:
            self._tracer.step_aside()

    def stop(self) -> dict[str, Any]:
        """Return the window's `extra`; values are per update."""
        self._calls.stop()
        counted = self._flops.stop()
        self._tracer.stop()
        updates = max(1, self._controls.clock.updates - self._updates_before)
        parts = self._parts.stop(updates)
        self._thrown.stop()
        activations = {
            "activations_bytes": self._activations.stop(),
            "loss_activation_bytes": self._activations.last_bytes,
            "why": self._activations.why,
        }
        memory = {**memory_in_use(self._models(), self._controls.steps.optimizers()), **activations}
        extra: dict[str, Any] = {"trace": self._tracer.report(), "memory": memory}
        if extra["trace"]["operators"] is not None:
            extra["trace"]["operators"] |= {
                **self._flops.details(updates),
                **parts,
                **self._thrown.report(updates, self._models()),
            }
        if why := self._calls.fault or self._tracer.why_no_operators:
            extra["why_no_operators"] = why
        if counted is None:
            extra["why_no_flops"] = self._flops.why
        else:
            extra["flops_per_update"] = counted["flops"] // updates
            extra["bytes_per_update"] = counted["bytes"] // updates
            extra["convolution_flops_per_update"] = counted["convolution_flops"] // updates
        return extra

    def _models(self) -> list[Any]:
        return [model for root in self._controls.roots.called() if (model := root.ref()) is not None]

    def leave(self) -> None:
        """End `settle` if nothing was begun."""
        self._calls.stop()

    def _compiled(self) -> bool:
        """Return whether the updates run compiled code, or might if torch does not let us see it."""
        if self._calls.watch():
            return self._calls.entered
        return modes.compile_used() or any(is_compiled(model) for model in self._models())

    def _concerned(self) -> bool:
        """Return whether a mode or hook of ours is open on this thread, or will be."""
        return self._controls.clock.mine() or modes.open_here() or self._activations.open_here()

    def _step_aside(self) -> None:
        self._parts.step_aside()
        self._thrown.stop()
        self._flops.step_aside()
        self._tracer.step_aside()
        self._activations.step_aside()

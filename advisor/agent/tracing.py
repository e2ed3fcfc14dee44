"""A trace window: calls by user line, operators, FLOPs and kept activations, all within the same few updates."""

from __future__ import annotations

from typing import Any

from . import forks, modes
from .bench import Bench
from .compiled_calls import CompiledCalls
from .flops import FlopCount
from .memory import Memory
from .slots import compiled_by_script
from .trace import Tracer


class Tracing:
    """`settle`, `start`, `stop` and `leave` at the ends of updates; the timings between them are not used for rates."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._memory = Memory()
        self._tracer = Tracer(bench.clock)
        self._flops = FlopCount(bench.clock)
        self._updates_before = 0
        self._calls = CompiledCalls(self._concerned, self._step_aside, self._tracer.step_back)
        forks.watch(self)

    def forked(self) -> None:
        """In a child the thread that has forked goes on with what was open on it: every operator would be looked at."""
        self._calls.stop()
        self._step_aside()

    def settle(self) -> None:
        """Look from here on whether updates enter compiled code: where they do, nothing is begun at all."""
        self._calls.watch()

    def start(self) -> None:
        compiled = self._compiled()
        self._updates_before = self._bench.clock.updates
        self._memory.start_activations(compiled)
        self._tracer.start(compiled)
        self._flops.start(compiled)  # on top of the tracer, whose durations are then those of the operators alone
        if self._calls.inside:
            self._tracer.step_aside()

    def stop(self) -> dict[str, Any]:
        """What the window reports as its `extra`; per update."""
        self._calls.stop()
        counted = self._flops.stop()
        self._tracer.stop()
        activations = self._memory.stop_activations()
        memory = {**self._memory.report(self._models(), self._bench.steps.optimizers()), **activations}
        updates = max(1, self._bench.clock.updates - self._updates_before)
        extra: dict[str, Any] = {"trace": self._tracer.report(), "memory": memory}
        if why := self._calls.fault or self._tracer.why_no_operators:
            extra["why_no_operators"] = why
        if counted is not None:
            extra["flops_per_update"] = counted["flops"] // updates
            extra["bytes_per_update"] = counted["bytes"] // updates
        return extra

    def _models(self) -> list[Any]:
        return [model for root in self._bench.roots.called() if (model := root.ref()) is not None]

    def leave(self) -> None:
        """End `settle` where nothing was begun."""
        self._calls.stop()

    def _compiled(self) -> bool:
        """Whether the updates run compiled code; where torch does not let us see that, whether they may."""
        if self._calls.watch():
            return self._calls.entered
        return modes.compile_used() or any(_is_compiled(model) for model in self._models())

    def _concerned(self) -> bool:
        """Whether something of ours is open on this thread, or will be."""
        return self._bench.clock.mine() or modes.open_here() or self._memory.open_here()

    def _step_aside(self) -> None:
        self._flops.step_aside()
        self._tracer.step_aside()
        self._memory.step_aside()


def _is_compiled(model: Any) -> bool:
    return type(model).__name__ == "OptimizedModule" or compiled_by_script(model)

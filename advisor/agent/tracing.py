"""A trace window: calls by user line, operators, FLOPs and kept activations, all within the same few updates."""

from __future__ import annotations

from typing import Any

from .bench import Bench
from .flops import FlopCount
from .memory import Memory
from .slots import compiled_by_script
from .trace import Tracer


class Tracing:
    """`start` and `stop` at the ends of updates; the timings between them are not used for rates."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._memory = Memory()
        self._tracer = Tracer(bench.clock)
        self._flops = FlopCount(bench.clock)
        self._updates_before = 0

    def start(self) -> None:
        compiled = self._compiled()
        self._updates_before = self._bench.clock.updates
        self._memory.start_activations(compiled)
        self._tracer.start(compiled)
        self._flops.start(compiled)  # on top of the tracer, whose durations are then those of the operators alone

    def stop(self) -> dict[str, Any]:
        """What the window reports as its `extra`; per update."""
        counted = self._flops.stop()
        self._tracer.stop()
        activations = self._memory.stop_activations()
        memory = {**self._memory.report(self._models(), self._bench.steps.optimizers()), **activations}
        updates = max(1, self._bench.clock.updates - self._updates_before)
        extra: dict[str, Any] = {"trace": self._tracer.report(), "memory": memory}
        if counted is not None:
            extra["flops_per_update"] = counted["flops"] // updates
            extra["bytes_per_update"] = counted["bytes"] // updates
        return extra

    def _models(self) -> list[Any]:
        return [model for root in self._bench.roots.called() if (model := root.ref()) is not None]

    def _compiled(self) -> bool:
        """Whether a root runs compiled code: operators inside it cannot be seen without compiling it anew."""
        for root in self._bench.roots.called():
            module = root.ref()
            if module is not None and (type(module).__name__ == "OptimizedModule" or compiled_by_script(module)):
                return True
        return False

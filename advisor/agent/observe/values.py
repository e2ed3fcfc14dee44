"""Watches that follow values from operator to operator: what is computed again, for nothing, or in many pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.tensors import tensors_in
from ..loop.clock import BACKWARD, OPTIMIZER, StepClock
from ..loop.frames import Frames
from .early_upsampling import EarlyUpsampling
from .ignored_rows import IgnoredRows
from .long_filters import LongFilters
from .operator_names import OperatorNames
from .parallel_layers import ParallelLayers
from .rebuilt_constants import RebuiltConstants
from .repeated_work import RepeatedWork
from .sparse_products import SparseProducts
from .time_by_size import TimeBySize

if TYPE_CHECKING:
    from torch import Tensor


class Values:
    """All of them, each told of every operator of the updates; a fault of one ends them and stays here."""

    def __init__(self, clock: StepClock, frames: Frames) -> None:
        self._clock = clock
        self._names = OperatorNames()
        self._on = True
        self._constants = RebuiltConstants(frames)
        self._repeated = RepeatedWork(frames)
        self._parallel = ParallelLayers(frames)
        self._sparse = SparseProducts(frames)
        self._filters = LongFilters(frames)
        self._time_by_size = TimeBySize()
        self._ignored = IgnoredRows(frames, self._time_by_size)
        self._enlarged = EarlyUpsampling(frames, self._time_by_size)

    def know(self, buffers: list[Tensor]) -> None:
        """Take these for constants until they are written to."""
        self._constants.know(buffers)

    def saw(self, func: Any, args: Any, kwargs: Any, result: Any, spent_ns: int) -> None:
        """Note an operator that has just run."""
        if not self._on:
            return
        try:
            self._saw(func, args, kwargs, result, spent_ns)
        except Exception:  # nested tensors have no shape, and a class of the user's may refuse anything
            self._on = False

    def _saw(self, func: Any, args: Any, kwargs: Any, result: Any, spent_ns: int) -> None:
        inputs, results = list(tensors_in(args)), list(tensors_in(result))
        if not results:
            return
        tensor = results[0]
        name, draws = self._names.of(func)
        clock, forward = self._clock, self._clock.phase not in (BACKWARD, OPTIMIZER)
        self._constants.saw(name, args, inputs, tensor, spent_ns, forward=forward, draws=draws, update=clock.updates)
        self._sparse.saw(name, inputs, results, spent_ns, forward=forward)
        self._filters.saw(name, args, spent_ns)
        self._time_by_size.saw(args, tensor, spent_ns)
        self._ignored.saw(name, args, forward=forward)
        self._enlarged.saw(name, args, tensor, forward=forward)
        if forward:
            moment = (clock.updates, clock.waited_ns)
            self._repeated.saw(func, name, args, kwargs, inputs, results, spent_ns, draws=draws, moment=moment)
            self._parallel.saw(name, args, inputs, results, spent_ns, moment=moment)
        else:
            self._repeated.ended()
            self._parallel.ended()

    def report(self, updates: int) -> dict[str, Any]:
        """Return the fields of `types.OperatorUse` that these watches know; none after a fault."""
        watches = (
            self._constants,
            self._repeated,
            self._parallel,
            self._sparse,
            self._filters,
            self._ignored,
            self._enlarged,
        )
        found: dict[str, Any] = {}
        for watch in watches if self._on else ():
            found |= watch.report(updates)
        return found

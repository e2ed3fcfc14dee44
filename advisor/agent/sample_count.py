"""Samples of an update where no loader delivers them: from what the trained models are called with."""

from __future__ import annotations

import weakref
from typing import Any

from .clock import OPTIMIZER, StepClock
from .roots import Root


class SampleCounter:
    """Counts, for every micro-step, the largest leading dimension that a model of the main optimizer is called with.

    The largest and not the sum: a discriminator's real and fake batch, a penalty's points in between and a contrastive
    pair are the same samples. What was seen earlier in the update (a full batch, one noise for two losses) is not
    counted again, and the passes of a closure are over the same batch.
    """

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self.counted = False
        """Whether anything was counted so far."""
        self._seen: list[tuple[weakref.ref[Any], int, int]] = []
        self._largest = 0
        self._in_closure = 0
        self._update = -1
        """What is seen belongs to it: the number of updates before it."""

    def saw(self, root: Root, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A forward that trains begins."""
        if not root.main:
            return
        count, tensor = leading_dimension(args, kwargs)
        if count is None:
            return
        if self._update != self._clock.updates:
            self._update = self._clock.updates
            self._seen.clear()
            self._largest = self._in_closure = 0
        # Slices of one tensor are new objects each time: they are told apart by where they begin.
        base = tensor._base if tensor._base is not None else tensor
        offset = tensor.storage_offset()
        if any(ref() is base and begin == offset and size == count for ref, begin, size in self._seen):
            return
        self.counted = True
        self._seen.append((weakref.ref(base), offset, count))
        self._largest = max(self._largest, count)

    def micro_step(self) -> None:
        """Its backward begins."""
        largest, self._largest = self._largest, 0
        if self._clock.inside(OPTIMIZER):
            largest, self._in_closure = max(0, largest - self._in_closure), max(largest, self._in_closure)
        if largest:
            self._clock.add_samples(largest)


def leading_dimension(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int | None, Any]:
    """Size of the first dimension of the first tensor of a call, and that tensor."""
    for value in (*args, *kwargs.values()):
        inner = value
        if isinstance(inner, dict):
            inner = next(iter(inner.values()), None)
        elif isinstance(inner, (list, tuple)) and inner:
            inner = inner[0]
        shape = getattr(inner, "shape", None)
        if shape is not None and len(shape) and hasattr(inner, "storage_offset"):
            return int(shape[0]), inner
    return None, None

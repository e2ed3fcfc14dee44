"""Samples of an update without a loader, counted from the arguments of the trained models."""

from __future__ import annotations

import weakref

from .clock import OPTIMIZER, StepClock
from .roots import Root
from .samples import leading_dimension


class SampleCounter:
    """Counter of samples: per micro-step, the largest leading dimension passed to a model of the main optimizer.

    It takes the largest, not the sum: a discriminator's real and fake batch, a penalty's points in between and a
    contrastive pair are the same samples. Tensors seen earlier in the update (a full batch, one noise for two losses)
    do not count again. The passes of a closure cover the same batch.
    """

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self.counted = False
        """True if anything was counted so far."""
        self._seen: list[tuple[weakref.ref[object], int, int]] = []
        self._largest = 0
        self._in_closure = 0
        self._update = -1
        """Update that the seen tensors belong to, as the number of updates before it."""

    def saw(self, root: Root, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        """Note the arguments of a training forward."""
        if not root.main:
            return
        count, tensor = leading_dimension(args, kwargs)
        if count is None:
            return
        if self._update != self._clock.updates:
            self._update = self._clock.updates
            self._seen.clear()
            self._largest = self._in_closure = 0
        # Slices of one tensor are new objects each time: their offset distinguishes them.
        base = tensor._base if tensor._base is not None else tensor
        offset = tensor.storage_offset()
        if any(ref() is base and begin == offset and size == count for ref, begin, size in self._seen):
            return
        self.counted = True
        self._seen.append((weakref.ref(base), offset, count))
        self._largest = max(self._largest, count)

    def micro_step(self) -> None:
        """Add the samples at the start of its backward."""
        largest, self._largest = self._largest, 0
        if self._clock.inside(OPTIMIZER):
            largest, self._in_closure = max(0, largest - self._in_closure), max(largest, self._in_closure)
        if largest:
            self._clock.add_samples(largest)

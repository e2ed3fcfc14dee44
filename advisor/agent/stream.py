"""The order of an epoch: indices drawn from the script's sampler, and which of them were delivered.

Consumers (the script's own iterator, or one that stands in for it) come and go; the stream stays, so that every
sample is delivered exactly once an epoch whatever was switched in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any


class IndexStream:
    """Stands where torch keeps `_sampler_iter`. One element is what the sampler gives: a list of indices, mostly."""

    __slots__ = ("_again", "_drop_last", "_loose", "_size", "_source", "_written_size", "drawn", "keeps")

    def __init__(self, source: Iterator[Any], keeps: bool = True) -> None:
        self._source = source
        self._again: deque[Any] = deque()
        """Drawn once, not delivered: these come first."""
        self._loose: deque[Any] = deque()
        """Single indices of broken batches, before `_source` and never while `_again` holds anything."""
        self._size: int | None = None
        self._written_size: int | None = None
        self._drop_last = False
        self.drawn: deque[Any] = deque()
        """Given to the present consumer and not delivered yet, oldest first."""
        self.keeps = keeps
        """False for iterable datasets, whose indices say nothing."""

    def __iter__(self) -> IndexStream:
        return self

    def __next__(self) -> Any:
        if self._size is not None or self._loose:
            index: Any = self._regrouped()
        elif self._again:
            index = self._again.popleft()
        else:
            index = next(self._source)
        if self.keeps:
            self.drawn.append(index)
        return index

    def delivered(self, position: int = 0) -> Any:
        """The batch drawn `position` places after the oldest one has reached the script; None if none is known."""
        if position >= len(self.drawn):
            return None
        index = self.drawn[position]
        del self.drawn[position]
        return index

    def put_back(self) -> None:
        """What the present consumer has in flight will be drawn again, in the same order."""
        if self._size is not None or self._loose:
            for batch in reversed(self.drawn):
                self._loose.extendleft(reversed(batch))
        else:
            self._again.extendleft(reversed(self.drawn))
        self.drawn.clear()

    def regroup(self, size: int | None, written_size: int, drop_last: bool) -> None:
        """Batches of `size` from now on; None goes back to those of the sampler as soon as no broken batch is left.

        What is in flight must have been put back. The last batch of an epoch may be short, and is left out where the
        script leaves short batches out.
        """
        if size == self._size:
            return
        self._written_size, self._drop_last, self._size = written_size, drop_last, size
        for batch in reversed(self._again):
            self._loose.extendleft(reversed(batch))
        self._again.clear()

    def _regrouped(self) -> Any:
        wanted = self._size or self._written_size or 1
        while len(self._loose) < wanted:
            batch = next(self._source, None)
            if batch is None:
                break
            self._loose.extend(batch)
        if not self._loose or (self._drop_last and len(self._loose) < wanted):
            raise StopIteration
        return [self._loose.popleft() for _ in range(min(wanted, len(self._loose)))]

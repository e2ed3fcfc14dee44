"""The order of an epoch: indices drawn from the script's sampler, and which of them were delivered.

Consumers (the script's own iterator, or one that stands in for it) come and go; the stream stays, so that every
sample is delivered exactly once an epoch whatever was switched in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from .pass_through import passes_on_to_c


class Part(list):  # type: ignore[type-arg]
    """Some of the indices of one batch. What delivers them gets a plain list: only the stream knows of parts."""

    __slots__ = ("last", "look", "share")

    def __init__(self, indices: list[Any], share: float, last: bool, look: bool = False) -> None:
        super().__init__(indices)
        self.share = share
        """Of the samples of the batch."""
        self.last = last
        """The batch is whole with it."""
        self.look = look
        """The whole batch, before its parts, so that both can be compared."""


def cut(batch: list[Any], size: int) -> list[Part]:
    """Parts of at most `size`, as even as can be: no part is much smaller than the others."""
    count = -(-len(batch) // size)
    ends = [len(batch) * number // count for number in range(count + 1)]
    return [Part(batch[begin:end], (end - begin) / len(batch), end == len(batch)) for begin, end in zip(ends, ends[1:])]


class IndexStream:
    """Stands where torch keeps `_sampler_iter`. One element is what the sampler gives: a list of indices, mostly."""

    __slots__ = (
        "_again",
        "_drop_last",
        "_looks",
        "_loose",
        "_parts",
        "_size",
        "_source",
        "_split",
        "_written_size",
        "drawn",
        "keeps",
    )

    def __init__(self, source: Iterator[Any], keeps: bool = True) -> None:
        self._source = source
        self._again: deque[Any] = deque()
        """Drawn once, not delivered: these come first."""
        self._loose: deque[Any] = deque()
        """Single indices of broken batches, before `_source` and never while `_again` holds anything."""
        self._parts: deque[Any] = deque()
        """Of the batch that is being given out in parts; all other batches come after them."""
        self._split: int | None = None
        self._looks = 0
        self._size: int | None = None
        self._written_size: int | None = None
        self._drop_last = False
        self.drawn: deque[Any] = deque()
        """Given to the present consumer and not delivered yet, oldest first."""
        self.keeps = keeps
        """False for iterable datasets, whose indices say nothing."""

    def __iter__(self) -> IndexStream:
        return self

    @passes_on_to_c
    def __next__(self) -> Any:
        index = self._part() if self._split is not None or self._parts else self._whole()
        if self.keeps:
            self.drawn.append(index)
        return index if type(index) is not Part else list(index)

    @passes_on_to_c
    def _whole(self) -> Any:
        if self._size is not None or self._loose:
            return self._regrouped()
        return self._again.popleft() if self._again else next(self._source)

    @passes_on_to_c
    def _part(self) -> Any:
        if not self._parts:
            batch = list(self._whole())
            parts = cut(batch, self._split or len(batch))
            if self._looks and len(parts) > 1:
                self._looks -= 1
                parts.insert(0, Part(batch, 1.0, False, look=True))
            self._parts.extend(parts)
        return self._parts.popleft()

    @property
    def known_ahead(self) -> int:
        """Elements that were drawn of the sampler already and not given out."""
        return len(self._loose) if self._size is not None or self._loose else len(self._again)

    def ahead(self, place: int) -> Any:
        """What the sampler gives `place` elements from now, drawn of it now and given out in its turn (where batches
        are regrouped, single indices); None at its end. What is in flight must have been put back."""
        loose = self._size is not None or bool(self._loose)
        waiting = self._loose if loose else self._again
        while len(waiting) <= place:
            element = next(self._source, None)
            if element is None:
                return None
            waiting.extend(element if loose else [element])
        return waiting[place]

    def delivered(self, position: int = 0) -> Any:
        """The batch drawn `position` places after the oldest one has reached the script; None if none is known."""
        if position >= len(self.drawn):
            return None
        index = self.drawn[position]
        del self.drawn[position]
        return index

    def put_back(self) -> None:
        """What the present consumer has in flight will be drawn again, in the same order; parts as one batch."""
        if self._parts or any(type(index) is Part for index in self.drawn):
            whole = _joined([*self.drawn, *self._parts])
            self._parts.clear()
            self.drawn.clear()
            self.drawn.extend(whole)
        if self._size is not None or self._loose:
            for batch in reversed(self.drawn):
                self._loose.extendleft(reversed(batch))
        else:
            self._again.extendleft(reversed(self.drawn))
        self.drawn.clear()

    def split(self, size: int | None, looks: int = 0) -> None:
        """Each batch in parts of at most `size` from now on, the first `looks` batches once as a whole before; None is
        no parts. What is in flight must have been put back."""
        self._split, self._looks = size, looks

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

    @passes_on_to_c
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


def _joined(indices: list[Any]) -> list[Any]:
    """Batches again: parts up to each last one together."""
    batches: list[Any] = []
    open_batch: list[Any] | None = None
    for index in indices:
        if type(index) is not Part:
            batches.append(index)
        elif not index.look:
            if open_batch is None:
                open_batch = []
                batches.append(open_batch)
            open_batch.extend(index)
            if index.last:
                open_batch = None
    return batches

"""Order of an epoch: indices drawn from the script's sampler, and a record of those delivered.

Consumers (the script's own iterator, or its stand-in) come and go; the stream stays. Every sample is therefore
delivered exactly once an epoch, whatever was switched in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Callable

from ..base.pass_through import passes_on_to_c
from .shares import Share, Sharing


class Part(list):  # type: ignore[type-arg]
    """Some indices of one batch. The iterator that fetches them gets a plain list: only the stream knows of parts."""

    __slots__ = ("is_check", "last", "share")

    def __init__(self, indices: list[Any], share: float, last: bool, is_check: bool = False) -> None:
        super().__init__(indices)
        self.share = share
        """Share of the samples of the batch."""
        self.last = last
        """True for the part that completes the batch."""
        self.is_check = is_check
        """True for the whole batch, delivered before its parts so that both can be compared."""


def cut(batch: list[Any], size: int) -> list[Part]:
    """Return parts of at most `size`, as even as possible: no part is much smaller than the others."""
    count = -(-len(batch) // size)
    ends = [len(batch) * number // count for number in range(count + 1)]
    return [Part(batch[begin:end], (end - begin) / len(batch), end == len(batch)) for begin, end in zip(ends, ends[1:])]


class IndexStream:
    """Replacement of torch's `_sampler_iter`. An element is what the sampler yields: mostly a list of indices."""

    def __init__(
        self, source: Iterator[Any], keeps: bool = True, draw_first: Callable[[Iterator[Any]], Any] = next
    ) -> None:
        """Give out what `source` draws; `draw_first` draws its first element, for which many samplers draw them all."""
        self._source = source
        self._draw_first: Callable[[Iterator[Any]], Any] | None = draw_first
        self._again: deque[Any] = deque()
        """Elements drawn once and not delivered: these come first."""
        self._loose: deque[Any] = deque()
        """Single indices of broken batches, before `_source` and never while `_again` holds anything."""
        self._parts: deque[Any] = deque()
        """Parts of the batch that is being delivered in parts; all other batches come after them."""
        self._split: int | None = None
        self._checks = 0
        self._size: int | None = None
        self._baseline_size: int | None = None
        self._drop_last = False
        self.drawn: deque[Any] = deque()
        """Elements given to the present consumer and not delivered yet, oldest first."""
        self.keeps = keeps
        """False for iterable datasets, whose indices carry no information."""
        self.sharing: Sharing | None = None
        """Processes that each read their share of a batch; None if this one reads all of it."""
        self.is_trained_on = False
        """True once a model was trained on what it gave out."""

    def __iter__(self) -> IndexStream:
        return self

    @passes_on_to_c
    def __next__(self) -> Any:
        index = self._part() if self._split is not None or self._parts else self._whole()
        if self.sharing is not None and type(index) is not Part:
            index = self.sharing.of(index, self.is_trained_on)
        if self.keeps:
            self.drawn.append(index)
        return list(index) if type(index) is Part or type(index) is Share else index

    @passes_on_to_c
    def _whole(self) -> Any:
        if self._size is not None or self._loose:
            return self._regrouped()
        if self._again:
            return self._again.popleft()
        draw, self._draw_first = self._draw_first, None
        return next(self._source) if draw is None else draw(self._source)

    @passes_on_to_c
    def _part(self) -> Any:
        if not self._parts:
            batch = list(self._whole())
            parts = cut(batch, self._split or len(batch))
            if self._checks and len(parts) > 1:
                self._checks -= 1
                parts.insert(0, Part(batch, 1.0, False, is_check=True))
            self._parts.extend(parts)
        return self._parts.popleft()

    @property
    def known_ahead(self) -> int:
        """Number of elements already drawn from the sampler and not given out."""
        return len(self._loose) if self._size is not None or self._loose else len(self._again)

    def ahead(self, place: int) -> Any:
        """Return the sampler's element `place` elements from now; None at its end.

        It is drawn now and given out in its turn. Elements are single indices if batches are regrouped. The elements
        in flight must have been put back.
        """
        loose = self._size is not None or bool(self._loose)
        waiting = self._loose if loose else self._again
        while len(waiting) <= place:
            element = next(self._source, None)
            if element is None:
                return None
            waiting.extend(element if loose else [element])
        return waiting[place]

    def delivered(self, position: int = 0) -> Any:
        """Note that the batch `position` places after the oldest one has reached the script, and return its index.

        Return None if no such batch is known.
        """
        if position >= len(self.drawn):
            return None
        index = self.drawn[position]
        del self.drawn[position]
        return index

    def put_back(self) -> None:
        """Put back the elements in flight, to be drawn again in the same order; parts become one batch."""
        if self.sharing is not None:
            self.drawn = deque(index.whole if type(index) is Share else index for index in self.drawn)
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

    def split(self, size: int | None, checks: int = 0) -> None:
        """Give out each batch in parts of at most `size` from now on; None is no parts.

        The first `looks` batches also come once as a whole before. The elements in flight must have been put back.
        """
        self._split, self._checks = size, checks

    def regroup(self, size: int | None, baseline_size: int, drop_last: bool) -> None:
        """Give out batches of `size` from now on; None returns to the sampler's once no broken batch is left.

        The elements in flight must have been put back. The last batch of an epoch may be short; it is left out if the
        script leaves short batches out.
        """
        if size == self._size:
            return
        self._baseline_size, self._drop_last, self._size = baseline_size, drop_last, size
        for batch in reversed(self._again):
            self._loose.extendleft(reversed(batch))
        self._again.clear()

    @passes_on_to_c
    def _regrouped(self) -> Any:
        wanted = self._size or self._baseline_size or 1
        while len(self._loose) < wanted:
            batch = next(self._source, None)
            if batch is None:
                break
            self._loose.extend(batch)
        if not self._loose or (self._drop_last and len(self._loose) < wanted):
            raise StopIteration
        return [self._loose.popleft() for _ in range(min(wanted, len(self._loose)))]


def _joined(indices: list[Any]) -> list[Any]:
    """Join parts into batches again, each up to its last part."""
    batches: list[Any] = []
    open_batch: list[Any] | None = None
    for index in indices:
        if type(index) is not Part:
            batches.append(index)
        elif not index.is_check:
            if open_batch is None:
                open_batch = []
                batches.append(open_batch)
            open_batch.extend(index)
            if index.last:
                open_batch = None
    return batches

"""State behind one iterator of the script: its place in the epoch, and the iterator that fetches for it."""

from __future__ import annotations

from typing import Any, Callable

from ..base.pass_through import passes_on
from .record import LoaderRecord
from .stream import IndexStream

FEED = "_advisor_feed"
"""Attribute of a script's iterator that holds its feed; iterators cannot be pickled, so it is never saved."""


class Feed:
    """State kept by the script's iterator itself, so it lives exactly as long. It never references the iterator."""

    def __init__(self, record: LoaderRecord, loader: Any, foreign: bool = False) -> None:
        self.record = record
        self.loader = loader
        """Bare copy with the baseline settings: the loader itself may be gone while its iterator is read."""
        self.stream: IndexStream | None = None
        """Stream of the script's own iterator; an inner one draws from it too, unless the dataset is iterable."""
        self.board: Any = None
        self.inner: Any = None
        """Iterator that fetches in place of the script's own; None if the script's own fetches."""
        self.inner_board: Any = None
        self.plan: Any = None
        """Settings that `inner` was built for; None is the baseline."""
        self.size: int | None = None
        """Micro batch wanted; None is the baseline."""
        self.split: int | None = None
        """Samples of a part, if batches are delivered in parts."""
        self.failed: list[Any] = []
        """Indices of the batch that raised last."""
        self.version = 0
        """Version of the switch that this feed has followed."""
        self.first = True
        """True if the next batch is the first since workers were started or an epoch began."""
        self.ended = False
        """True if no batch follows until it is reset."""
        self.given = 0
        """Batches that the script has requested in this epoch."""
        self.replayed = False
        """True if some of them were replayed, so that the stream is behind the script."""
        self.own_ended = False
        """True if the script's own workers are gone or never started; an inner iterator then serves the baseline."""
        self.foreign = foreign
        """True for an iterator class that is not torch's own: timed and counted, never switched."""

    def fetcher(self, iterator: object) -> Any:
        return self.inner if self.inner is not None else iterator

    @passes_on
    def next_batch(self, iterator: Any, fetch: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Return the next batch and its index (None if that carries no information)."""
        fetcher = self.inner if self.inner is not None else iterator
        stream = self.stream
        if stream is None or not stream.keeps:
            return self._next_of_iterable(fetcher, fetch), None
        tasks = None if getattr(fetcher, "_in_order", True) else list(fetcher._task_info)
        try:
            batch = fetch(fetcher)
        except StopIteration:
            raise
        except Exception:
            self.failed = _forget_failed(stream, fetcher)
            raise
        if tasks is None:
            return batch, stream.delivered()
        gone = next((place for place, task in enumerate(tasks) if task not in fetcher._task_info), 0)
        return batch, stream.delivered(gone)

    def remember_failed(self) -> None:
        """Put the batch that raised back as not delivered: the next fetch begins with it."""
        if self.stream is not None:
            self.stream.drawn.extendleft(reversed(self.failed))

    def forget_failed(self) -> None:
        """Count the batch that raised as delivered, as torch does."""
        if self.stream is not None:
            for _ in self.failed:
                self.stream.delivered()

    @passes_on
    def _next_of_iterable(self, fetcher: Any, fetch: Callable[[Any], Any]) -> Any:
        duplicates = self.record.duplicates
        if self.foreign or self.inner is not None or self.loader.num_workers < 2 or duplicates.enough:
            return fetch(fetcher)
        sent_to = workers_of_tasks(fetcher)
        batch = fetch(fetcher)
        worker = sent_to.get(fetcher._rcvd_idx - 1)
        if worker is not None:
            duplicates.saw(worker, batch)
        return batch

    def begins_epoch(self) -> None:
        """Begin another epoch with the next batch."""
        self.given, self.replayed = 0, False

    @property
    def overruns(self) -> bool:
        """True if the requested batch is one more than the script's loader has in an epoch; asked if `replayed`."""
        length = self.record.facts["length_batches"]
        return length is not None and self.given > length

    @property
    def workers(self) -> int:
        """Number of workers of the iterator that fetches now."""
        return int(self.inner._num_workers if self.inner is not None else self.loader.num_workers)

    @property
    def iterable(self) -> bool:
        return bool(self.record.facts["iterable"])


def workers_of_tasks(fetcher: Any) -> dict[int, int]:
    """Return task → worker for the tasks in flight; the task before `_rcvd_idx` was delivered last."""
    return {task: info[0] for task, info in fetcher._task_info.items()}


def _forget_failed(stream: IndexStream, fetcher: Any) -> list[Any]:
    """Count a batch that raised as delivered, as torch does: the script may catch it. Return the indices."""
    outstanding = fetcher._send_idx - fetcher._rcvd_idx if fetcher._num_workers else 0
    forgotten = []
    while len(stream.drawn) > max(0, outstanding):
        forgotten.append(stream.delivered())
    return forgotten

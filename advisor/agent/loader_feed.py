"""What stands behind one iterator of the script: its place in the epoch, and who fetches for it."""

from __future__ import annotations

from typing import Any, Callable

from .loader_record import LoaderRecord
from .pass_through import passes_on
from .stream import IndexStream

FEED = "_advisor_feed"
"""Where a script's iterator keeps its feed; iterators cannot be pickled, so nothing of it is ever saved."""


class Feed:
    """Kept by the script's iterator itself, so it lives exactly as long. It never points back at the iterator."""

    __slots__ = (
        "board",
        "ended",
        "failed",
        "first",
        "foreign",
        "given",
        "inner",
        "inner_board",
        "loader",
        "own_ended",
        "plan",
        "record",
        "replayed",
        "size",
        "split",
        "stream",
        "version",
    )

    def __init__(self, record: LoaderRecord, loader: Any, foreign: bool = False) -> None:
        self.record = record
        self.loader = loader
        """A bare copy, as the script wrote it: the loader itself may be gone while its iterator is read."""
        self.stream: IndexStream | None = None
        """Of the script's own iterator; an inner one draws from it too, unless the dataset is iterable."""
        self.board: Any = None
        self.inner: Any = None
        """The iterator that fetches in place of the script's own; None where the own one does."""
        self.inner_board: Any = None
        self.plan: Any = None
        """The settings that `inner` was built for; None is as written."""
        self.size: int | None = None
        """Micro batch asked for; None is as written."""
        self.split: int | None = None
        """Samples of a part, where batches are given out in parts."""
        self.failed: list[Any] = []
        """Indices of the batch that raised last."""
        self.version = 0
        """Of the switch that this feed has followed."""
        self.first = True
        """The next batch is the first since workers were started or an epoch began."""
        self.ended = False
        """Nothing more comes until it is reset."""
        self.given = 0
        """Batches that the script has asked for in this epoch."""
        self.replayed = False
        """Some of them were replayed, so that the stream has not come as far as the script has."""
        self.own_ended = False
        """The script's own workers are gone, or were never started; what was written is done by an inner iterator."""
        self.foreign = foreign
        """An iterator class that is not torch's own: timed and counted, never switched."""

    def fetcher(self, iterator: Any) -> Any:
        return self.inner if self.inner is not None else iterator

    @passes_on
    def next_batch(self, iterator: Any, fetch: Callable[[Any], Any]) -> tuple[Any, Any]:
        """The next batch, and the index it was made of (None where that says nothing)."""
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
        """The batch that raised was not delivered after all: whoever fetches next begins with it."""
        if self.stream is not None:
            self.stream.drawn.extendleft(reversed(self.failed))

    def forget_failed(self) -> None:
        """It counts as delivered, as it does for torch."""
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
        """What the script is given from now on belongs to another epoch."""
        self.given, self.replayed = 0, False

    @property
    def overruns(self) -> bool:
        """Whether the batch that is asked for is one more than the script's loader has in an epoch."""
        length = self.record.facts["length_batches"]
        return self.replayed and length is not None and self.given > length

    @property
    def workers(self) -> int:
        """Of the iterator that fetches now."""
        return int(self.inner._num_workers if self.inner is not None else self.loader.num_workers)

    @property
    def iterable(self) -> bool:
        return bool(self.record.facts["iterable"])


def workers_of_tasks(fetcher: Any) -> dict[int, int]:
    """Task to worker, of what is in flight; the task that was delivered last is the one before `_rcvd_idx`."""
    return {task: info[0] for task, info in fetcher._task_info.items()}


def _forget_failed(stream: IndexStream, fetcher: Any) -> list[Any]:
    """A batch that raised counts as delivered, as it does for torch: the script may catch it and go on."""
    outstanding = fetcher._send_idx - fetcher._rcvd_idx if fetcher._num_workers else 0
    forgotten = []
    while len(stream.drawn) > max(0, outstanding):
        forgotten.append(stream.delivered())
    return forgotten

"""Times of fetching and collating, in the script's process and in workers forked from it."""

from __future__ import annotations

import mmap
import os
import time
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..base.own_folder import AGENT
from ..base.pass_through import passes_on_to_c, stands_for
from .cpu_wait import run_delay_ns
from .random_states import RandomStates, digest

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

FETCH_NS, FETCH_CPU_NS, COLLATE_NS, FETCHES, SEND_NS, LAST_ITEMS, SAMPLE_DRAWS, COLLATE_DRAWS = range(8)
DRAWN, DRAWN_NEXT, READ = range(8, 11)
"""Cells with digests: of the random states in the first and the second fetch that drew, and of the first's indices."""
OWN_CPU_NS, WORKER_CPU_NS = 11, 12
"""Cells with the CPU time of workers while they read samples: of the thread that fetches, and of all their threads."""
DRAWS = "_advisor_draws"
WATCHED_FETCHES = 4
DREW_NOTHING, DREW = 1, 2
"""Values of the cells SAMPLE_DRAWS and COLLATE_DRAWS; 0 is not checked."""
LONG_FETCH_NS = 500_000
"""Shortest fetch for which the wait for a CPU is read: two readings cost about 6 µs, one percent of this."""
TIMED_EVERY_NS = 2_000_000
"""Time from one timed fetch to the next: timing one takes 10 µs of a loop whose caches torch has filled. A timed fetch
stands for those since the one before."""
CELLS = 16
"""64-bit cells per worker: cache lines of its own, so that workers do not slow each other."""
_OWN_FOLDER = AGENT + os.sep
TOTALS = (FETCH_NS, FETCH_CPU_NS, COLLATE_NS, FETCHES, SEND_NS, OWN_CPU_NS, WORKER_CPU_NS)


class Drawn(NamedTuple):
    """Digests of what a worker drew in its first fetches."""

    worker: int
    first: int
    then: int
    """0 if it has fetched only once."""
    read: int
    """Digest of the indices of the first fetch."""

    def repeats(self, other: Drawn) -> bool:
        """Return whether other samples got the same draws."""
        then = self.then == other.then or not self.then or not other.then
        return self.first == other.first and then and self.read != other.read


class Board:
    """Sums of one iterator: one row per worker, in memory shared with processes forked after its creation."""

    __slots__ = ("cells", "rows", "seen", "watched")

    def __init__(self, workers: int, seen: bool = True, watched: bool = False) -> None:
        self.rows = max(1, workers)
        self.seen = seen
        """False if workers are not forked: they do not share this memory, and the rows stay empty."""
        if workers:
            self.cells: Any = memoryview(mmap.mmap(-1, self.rows * CELLS * 8)).cast("q")
        else:
            self.cells = [0] * CELLS

        self.watched = watched
        """True if the first fetches are checked for random draws."""

    def largest(self, cell: int) -> int:
        return int(max(self.cells[row * CELLS + cell] for row in range(self.rows)))

    def total(self, cell: int) -> int:
        return sum(self.cells[row * CELLS + cell] for row in range(self.rows))

    def drawn(self) -> list[Drawn]:
        """Return the draws from states that torch does not seed, of each worker that drew from any."""
        rows = [self.cells[row * CELLS : (row + 1) * CELLS] for row in range(self.rows)]
        found = (Drawn(row, cells[DRAWN], cells[DRAWN_NEXT], cells[READ]) for row, cells in enumerate(rows))
        return [drawn for drawn in found if drawn.first]

    @property
    def last_items(self) -> int:
        """Items of the batch collated last; only if the script's own process collates."""
        return int(self.cells[LAST_ITEMS])


class FetchTimes:
    """Patches of torch's fetchers, which both the script's process and its workers use."""

    def __init__(self) -> None:
        self.board: Board | None = None
        """Board that fetchers made from now on report to; workers inherit it when they are forked."""
        self.in_worker = False
        self.suspended = False
        self.received_ns = 0
        """Nanoseconds that unpacking workers' batches took in this process so far."""

    def row(self, dataset: object) -> tuple[Any, int] | None:
        """Return the cells, and the first cell of the row, that a fetcher made here and now reports to."""
        board = self.board
        if board is None:
            return None
        if not self.in_worker:
            return (board.cells, 0) if type(board.cells) is list else None
        from torch.utils.data import get_worker_info  # a worker was forked from a process that imported torch

        info = get_worker_info()
        if info is None or info.id >= board.rows or info.dataset is not dataset:
            return None
        return board.cells, info.id * CELLS

    def fetcher_init(self, original: Callable[..., None]) -> Callable[..., None]:
        @stands_for(original)
        def __init__(fetcher: Any, *args: object, **kwargs: object) -> None:  # noqa: N807
            original(fetcher, *args, **kwargs)
            row = self.row(fetcher.dataset)
            if row is not None:
                fetcher.__dict__["_advisor_row"] = row
                if self.board is not None and self.board.watched:
                    fetcher.__dict__[DRAWS] = Draws(fetcher.dataset, row, fetcher.collate_fn)
                if self.in_worker:
                    _time_sending(*row)
                fetcher.collate_fn = TimedCollate(fetcher.collate_fn, row, self.in_worker, fetcher.auto_collation)

        return __init__

    def receive(self, pickler: Any) -> Any:
        """Return the pickler of queues with timed unpacking: the training process's share of a batch's transfer."""
        times = self

        class Timed(pickler):  # type: ignore[misc]
            @staticmethod
            @passes_on_to_c
            def loads(*args: object, **kwargs: object) -> Any:
                begin = time.perf_counter_ns()
                try:
                    return pickler.loads(*args, **kwargs)
                finally:
                    times.received_ns += time.perf_counter_ns() - begin

        return Timed

    def fetch(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @stands_for(original)
        def fetch(fetcher: Any, index: object) -> Any:
            row = fetcher.__dict__.get("_advisor_row")
            if row is None or self.suspended:
                return original(fetcher, index)
            cells, first = row
            collate_ns = cells[first + COLLATE_NS]
            draws = fetcher.__dict__.get(DRAWS)
            if draws is not None:
                draws.begin(index)
                fetcher.collate_fn.sampled = draws.sampled
            begin = time.perf_counter_ns()
            weight = fetcher.collate_fn.begin(begin)
            try:
                return original(fetcher, index)
            except BaseException as error:
                drop_own_frames(error)
                raise
            finally:
                if weight:
                    spent = weight * (time.perf_counter_ns() - begin)
                    cells[first + FETCH_NS] += spent - (cells[first + COLLATE_NS] - collate_ns)
                    cells[first + FETCHES] += weight
                if draws is not None and draws.ended():
                    del fetcher.__dict__[DRAWS]
                    fetcher.collate_fn.sampled = None

        return fetch


class Draws:
    """Check of an iterator's first fetches for random draws: in reading samples, or in collating them.

    Draws of workers depend on the number of workers, and samples that a dataset draws must not be kept. A check costs
    0.3 ms (up to 20 if the dataset holds thousands of objects), so only the first few fetches are checked.
    """

    def __init__(self, dataset: object, row: tuple[Any, int], *more: object) -> None:
        """Check the generators of the dataset, and those that the other owners hold."""
        self._dataset, self._more = dataset, more
        self._cells, self._first = row
        self._states: RandomStates | None = None
        self._left = WATCHED_FETCHES
        self._index: object = None
        self._drawn = 0

    def begin(self, index: object) -> None:
        self._states = RandomStates(self._dataset, *self._more)
        self._index = index
        self._drawn = 0

    def sampled(self) -> None:
        self._mark(SAMPLE_DRAWS)

    def ended(self) -> bool:
        """End a fetch, successful or not; return whether it was the last one to check."""
        self._mark(COLLATE_DRAWS)
        self._states = None
        self._left -= 1
        place = DRAWN if not self._cells[self._first + DRAWN] else DRAWN_NEXT
        if self._drawn and not self._cells[self._first + place]:
            self._cells[self._first + place] = self._drawn
            if place == DRAWN:
                self._cells[self._first + READ] = digest(self._index)
        return not self._left

    def _mark(self, cell: int) -> None:
        if self._states is not None:
            place = self._first + cell
            self._cells[place] = max(self._cells[place], DREW if self._states.moved() else DREW_NOTHING)
            self._drawn ^= self._states.drawn


class TimedCollate:
    """Replacement of a fetcher's `collate_fn`; the loader's own attribute stays as it is.

    It decides which fetches are timed, and counts each for those since the timed one before it. It also reads the CPU
    time of a fetch before collating, including the wait for a CPU. The rest of the fetch's wall time went to a disk or
    a network. Reading the wait costs more than everything else, so it is left out while fetches are too short for it to
    matter.
    """

    __slots__ = (
        "_auto", "_begin_cpu", "_begin_delay", "_begin_ns", "_begin_own", "_cells", "_clock", "_first", "_function",
        "_in_worker", "_long", "_untimed", "_weight", "sampled",
    )  # fmt: skip

    def __init__(self, function: Callable[[Any], Any], row: tuple[Any, int], in_worker: bool, auto: bool) -> None:
        self._function = function
        self._cells, self._first = row
        self._clock = time.process_time_ns if in_worker else time.thread_time_ns
        """Clock of CPU time: workers include their decoders' threads; the script's process only its reading thread."""
        self._in_worker = in_worker
        self._begin_cpu = self._begin_delay = self._begin_own = self._begin_ns = 0
        self._untimed = 0
        """Fetches since the latest timed one."""
        self._weight = 0
        """Fetches that the present one counts for; 0 if it is not timed."""
        self._auto = auto
        self._long = True
        self.sampled: Callable[[], None] | None = None
        """Callable run between reading the samples and collating them."""

    def begin(self, now_ns: int) -> int:
        """Begin a fetch; return how many it counts for, 0 if it is not timed."""
        if not self._long and now_ns - self._begin_ns < TIMED_EVERY_NS:
            self._untimed += 1
            self._weight = 0
            return 0
        self._begin_ns = now_ns
        self._weight, self._untimed = 1 + self._untimed, 0
        self._begin_delay = run_delay_ns() if self._long else 0
        self._begin_own = time.thread_time_ns() if self._in_worker else 0
        self._begin_cpu = self._clock()
        return self._weight

    @passes_on_to_c
    def __call__(self, data: Any) -> Any:
        self._cells[self._first + LAST_ITEMS] = len(data) if self._auto else 0
        weight, self._weight = self._weight, 0
        if weight:
            self._samples_read(weight)
        if self.sampled is not None:
            self.sampled()
        begin = time.perf_counter_ns() if weight else 0
        try:
            return self._function(data)
        except BaseException as error:
            drop_own_frames(error)
            raise
        finally:
            if weight:
                self._cells[self._first + COLLATE_NS] += weight * (time.perf_counter_ns() - begin)

    def _samples_read(self, weight: int) -> None:
        """Add the CPU time since the fetch began."""
        cells, first = self._cells, self._first
        spent = self._clock() - self._begin_cpu
        if self._in_worker:
            cells[first + OWN_CPU_NS] += weight * (time.thread_time_ns() - self._begin_own)
            cells[first + WORKER_CPU_NS] += weight * spent
        cells[first + FETCH_CPU_NS] += weight * (spent + (run_delay_ns() if self._long else 0) - self._begin_delay)
        self._long = time.perf_counter_ns() - self._begin_ns > LONG_FETCH_NS


def _time_sending(cells: Any, first: int) -> None:
    """Time the packing of batches in a worker: the queue packs in its own thread, mainly tensors into shared memory."""
    from multiprocessing import queues

    pickler: Any = queues._ForkingPickler  # type: ignore[attr-defined]

    class Timed(pickler):  # type: ignore[misc]
        @classmethod
        @passes_on_to_c
        def dumps(cls, *args: object, **kwargs: object) -> Any:
            begin = time.perf_counter_ns()
            try:
                return pickler.dumps(*args, **kwargs)
            finally:
                cells[first + SEND_NS] += time.perf_counter_ns() - begin

    queues._ForkingPickler = Timed  # type: ignore[attr-defined]


def drop_own_frames(error: BaseException) -> None:
    """Remove our frames from the traceback before a bare `raise`, so that the script's shows only its own.

    Works on CPython 3.11 and later; on older versions the raising frame stays.
    """
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_OWN_FOLDER):
        traceback = traceback.tb_next
    if traceback is not None:
        error.__traceback__ = traceback


def start_method(loader: DataLoader[object]) -> str | None:
    """Return the start method of this loader's workers; None without workers."""
    if not loader.num_workers:
        return None
    context = loader.multiprocessing_context
    if context is None:
        import multiprocessing

        return multiprocessing.get_start_method()
    return str(context.get_start_method())

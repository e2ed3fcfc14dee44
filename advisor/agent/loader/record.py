"""Knowledge of one `DataLoader`: the line that made it, its settings, its role."""

from __future__ import annotations

import itertools
import os
import sys
import sysconfig
import weakref
from collections import deque
from types import FrameType
from typing import Any

from ..base.own_folder import AGENT
from .duplicates import Duplicates
from .replay import Replay
from .times import (
    COLLATE_DRAWS,
    COLLATE_NS,
    DREW,
    FETCH_CPU_NS,
    FETCH_NS,
    FETCHES,
    OWN_CPU_NS,
    SAMPLE_DRAWS,
    SEND_NS,
    TOTALS,
    WORKER_CPU_NS,
    Board,
    Drawn,
    start_method,
)

LOADER_ATTRIBUTES = (
    "dataset",
    "num_workers",
    "prefetch_factor",
    "pin_memory",
    "pin_memory_device",
    "timeout",
    "worker_init_fn",
    "_DataLoader__multiprocessing_context",
    "_DataLoader__initialized",
    "in_order",
    "_dataset_kind",
    "batch_size",
    "drop_last",
    "sampler",
    "batch_sampler",
    "generator",
    "collate_fn",
    "persistent_workers",
    "_IterableDataset_len_called",
)
"""Attributes that `DataLoader.__init__` sets in any version of torch; a copy holds these and none of the user's."""

PACKAGE_FOLDERS = ("site-packages", "dist-packages")
"""Folders of installed packages, which need not be this environment's own: one may lie on another's path."""

MOST_READ_AHEAD = 4096
"""Most batches counted that another thread has read and the training has not used."""

UNUSED, TRAIN, EVALUATION = "unused", "train", "evaluation"


class LoaderRecord:
    """One loader of the script, or the series of loaders that one line makes, one per epoch."""

    def __init__(self, number: int, loader: object, where: str | None) -> None:
        self.id = number
        self.where = where
        self.loader = weakref.ref(loader)
        self.iterator: weakref.ref[Any] | None = None
        """Iterator of the script that was read last."""
        self.reader = 0
        """Thread that read it last."""
        self.signature = signature_of(loader, where)
        self.facts = facts_of(loader)
        self.length_asked = False
        """True if the script itself has asked for the number of batches."""
        self.role = UNUSED
        self.votes_train = 0
        self.votes_evaluation = 0
        self.last_train_vote = 0
        self.ordinary_wait_ns: float | None = None
        """Running mean of the waits, without each epoch's first."""
        self.pending_samples = 0
        """Samples delivered since the last forward, while this was not the loader whose samples count."""
        self.read_ahead: deque[int] = deque(maxlen=MOST_READ_AHEAD)
        """Samples of the batches that another thread has read for the training, next batch first."""
        self.samples_from: str | None = None
        self.samples_known = True
        self.last_index: Any = None
        """Indices of the batch delivered last; None if they carry no information."""
        self.batches = 0
        self.read_before = 0
        """Batches delivered before the last training forward."""
        self.samples = 0
        self.restarts = 0
        self.restart_ns = 0
        self.draw_ns = 0
        """Time in which its sampler drew the first indices of its epochs."""
        self.replay = Replay()
        self.duplicates = Duplicates()
        self.duplicates_with: dict[int, float | None] = {}
        """Number of workers → share of samples that they would deliver twice; None if unknown."""
        self._boards: list[tuple[weakref.ref[Any], Board]] = []
        self._folded = [0] * len(TOTALS)
        self._draws = {SAMPLE_DRAWS: 0, COLLATE_DRAWS: 0}
        self._drawn: list[list[Drawn]] = []
        """Digests of the random states that the workers of earlier iterators drew from."""
        self._blind = False
        self._last_totals = [0] * (5 + len(TOTALS))

    @property
    def gone(self) -> bool:
        """True if neither the loader nor an iterator of it is alive."""
        return self.loader() is None and (self.iterator is None or self.iterator() is None)

    def vote(self, train: bool) -> None:
        if train:
            self.votes_train += 1
        else:
            self.votes_evaluation += 1
        self.role = TRAIN if self.votes_train >= self.votes_evaluation else EVALUATION

    def add_board(self, iterator: object, board: Board) -> None:
        """Let `iterator` and its workers report to `board` from now on."""
        self._fold()
        self._boards.append((weakref.ref(iterator), board))

    def work(self) -> list[int] | None:
        """Return the sums of TOTALS since the loader was first seen; None if workers hide them."""
        self._fold()
        if self._blind or any(not board.seen for _, board in self._boards):
            return None
        return [folded + sum(b.total(cell) for _, b in self._boards) for folded, cell in zip(self._folded, TOTALS)]

    def fetch_s(self) -> float | None:
        """Return the mean seconds in which a batch is fetched; None if workers hide them, or none has fetched yet."""
        work = dict(zip(TOTALS, self.work() or ()))
        return work[FETCH_NS] / work[FETCHES] / 1e9 if work.get(FETCHES) else None

    def fetching_threads(self) -> float | None:
        """Return how many threads a worker keeps busy while it reads samples; None if there are none to see.

        Packing batches is left out: its wall time is at least its CPU time, so that the result is never too large.
        """
        work = dict(zip(TOTALS, self.work() or ()))
        own_ns = work.get(OWN_CPU_NS, 0)
        return max(1.0, (work[WORKER_CPU_NS] - work[SEND_NS]) / own_ns) if own_ns else None

    def draws(self) -> dict[str, bool]:
        """Return whether samples, and collating them, were seen to draw random numbers; unseen ones are left out."""
        answers = {}
        for name, cell in (("dataset_draws", SAMPLE_DRAWS), ("collate_draws", COLLATE_DRAWS)):
            found = max([self._draws[cell], *(board.largest(cell) for _, board in self._boards)])
            if found:
                answers[name] = found == DREW
        return answers

    @property
    def watches_draws(self) -> bool:
        """True if the next iterator's first fetches are to be checked; the workers of a second may repeat those of
        the first."""
        return not self.draws() or (bool(self.facts["num_workers"]) and len(self._all_drawn()) == 1)

    def repeats(self) -> dict[str, bool]:
        """Return whether workers were seen to draw alike, at once or in two epochs; what was not seen is left out."""
        drawn = self._all_drawn()
        answers = {}
        if any(len(found) > 1 for found in drawn):
            answers["workers_repeat"] = any(
                one.repeats(other) for found in drawn for one, other in itertools.combinations(found, 2)
            )
        if len(drawn) > 1:
            pairs = ((one, other) for one in drawn[0] for other in drawn[1] if one.worker == other.worker)
            answers["epochs_repeat"] = any(one.repeats(other) for one, other in pairs)
        return answers

    def _all_drawn(self) -> list[list[Drawn]]:
        """Return the digests of each watched iterator with workers, the first one first."""
        if not self.facts["num_workers"]:
            return []
        return [*self._drawn, *(found for _, board in self._boards if board.watched and (found := board.drawn()))]

    def take_sums(self, workers: int | None, received_ns: int = 0) -> dict[str, Any]:
        """Return the fields of `wire.LoaderSums` since the last call.

        `workers` is the number that fetch now, `received_ns` the time this process took to unpack their batches.
        """
        work = self.work()
        counts = [self.batches, self.samples, self.restarts, self.restart_ns, self.draw_ns]
        totals = [*counts, *(work or [0] * len(TOTALS))]
        batches, samples, restarts, restart_ns, draw_ns, *spent = (
            now - then for now, then in zip(totals, self._last_totals)
        )
        self._last_totals = totals
        seen = work is not None and spent[FETCHES] > 0
        return {
            "batches": batches,
            "samples": samples if self.samples_known else None,
            "workers": int(self.facts["num_workers"] if workers is None else workers),
            "fetch_s": spent[FETCH_NS] / 1e9 if seen else None,
            "fetch_cpu_s": spent[FETCH_CPU_NS] / 1e9 if seen else None,
            "collate_s": spent[COLLATE_NS] / 1e9 if seen else None,
            "transfer_s": (spent[SEND_NS] + received_ns) / 1e9 if seen and spent[SEND_NS] else None,
            "restarts": restarts,
            "restart_s": restart_ns / 1e9,
            "draw_s": draw_ns / 1e9,
            "duplicates_fraction": self.duplicates.fraction,
        }

    def _fold(self) -> None:
        alive = []
        for reference, board in self._boards:
            if reference() is not None:
                alive.append((reference, board))
                continue
            self._blind = self._blind or not board.seen
            self._draws = {cell: max(found, board.largest(cell)) for cell, found in self._draws.items()}
            if board.watched and (drawn := board.drawn()):
                self._drawn.append(drawn)
            self._folded = [folded + board.total(cell) for folded, cell in zip(self._folded, TOTALS)]
        self._boards = alive

    def as_facts(self) -> dict[str, Any]:
        """Return the fields of `types.LoaderFacts`, in plain JSON."""
        return {
            "id": self.id,
            "role": self.role,
            **self.facts,
            "where": self.where,
            "duplicates_fraction": self.duplicates.fraction,
        }


def bare_copy(loader: object) -> Any:
    """Return a loader with the same settings and dataset, whose attributes can be set freely through `__dict__`.

    It has torch's own class and none of the user's attributes: it runs no code of the user, and keeps alive only what
    an iterator keeps anyway.
    """
    from torch.utils.data import DataLoader  # a loader exists, so the script has imported it

    clone = object.__new__(DataLoader)
    known = loader.__dict__
    clone.__dict__.update({name: known[name] for name in LOADER_ATTRIBUTES if name in known})
    clone.__dict__["_iterator"] = None
    return clone


def signature_of(loader: Any, where: str | None) -> tuple[Any, ...]:
    """Return a signature that is equal for the loaders that one line of the script makes repeatedly."""
    return (
        where,
        type(loader),
        type(loader.dataset),
        type(loader.sampler),
        loader.batch_size,
        loader.num_workers,
        length_of(loader.dataset),
    )


def facts_of(loader: Any) -> dict[str, Any]:
    iterable = is_iterable(loader)
    collate = loader.collate_fn
    name = getattr(collate, "__qualname__", None) or type(collate).__qualname__
    module = getattr(collate, "__module__", None)
    return {
        "class_name": type(loader).__name__,
        "dataset_class": type(loader.dataset).__name__,
        "iterable": iterable,
        "batch_size": batch_size_of(loader),
        "num_workers": loader.num_workers,
        "prefetch_factor": loader.prefetch_factor,
        "pin_memory": bool(loader.pin_memory),
        "persistent_workers": bool(loader.persistent_workers),
        "start_method": start_method(loader),
        "collate": f"{module}.{name}" if module else name,
        "length_batches": length_of(bare_copy(loader)),
        "length_samples": length_of(loader.dataset) if iterable else length_of(loader.sampler, loader.dataset),
        "dataset_samples": length_of(loader.dataset),
        "sampler_class": type(_order_of(loader)).__name__,
        "sampler_where": _own_order(loader),
        "drop_last": bool(loader.drop_last),
    }


def _order_of(loader: Any) -> Any:
    """Return the object that draws the order of an epoch: the sampler behind torch's and accelerate's own batches, or
    the script's batch sampler."""
    drawing = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    while type(drawing).__module__.startswith(("torch.", "accelerate.")):
        inner = getattr(drawing, "batch_sampler", None) or getattr(drawing, "sampler", None)
        if inner is None:
            break
        drawing = inner
    return drawing


def _own_order(loader: Any) -> str | None:
    """Return `file:line` of the code that draws the order of an epoch, if it is the script's own."""
    code = getattr(getattr(type(_order_of(loader)), "__iter__", None), "__code__", None)
    if code is None or is_library(code.co_filename):
        return None
    return f"{code.co_filename}:{code.co_firstlineno}"


def is_iterable(loader: Any) -> bool:
    from torch.utils.data import IterableDataset

    return isinstance(loader.dataset, IterableDataset)


def stacks_only(loader: Any) -> bool:
    """Return whether torch's own collate function makes the batches: it stacks samples of one shape."""
    from torch.utils.data import default_collate

    return loader.collate_fn is default_collate


def batch_size_of(loader: Any) -> int | None:
    """Return the batch size, even if a batch sampler holds it, as in loaders that a library prepared; else None."""
    for holder in (loader, loader.batch_sampler, loader.sampler):
        size = getattr(holder, "batch_size", None)
        if isinstance(size, int) and not isinstance(size, bool):
            return size
    return None


def length_of(*candidates: Any) -> int | None:
    """Return the first known length. `len` runs the user's code: if it raises anything, the length is unknown."""
    for candidate in candidates:
        try:
            return len(candidate)
        except Exception:
            continue
    return None


def is_library(file: str) -> bool:
    """Return whether a code object's file belongs to Python, to an installed package, or to us."""
    if file.startswith("<frozen") or file.startswith(_library_folders()):
        return True
    return any(f"{os.sep}{folder}{os.sep}" in file for folder in PACKAGE_FOLDERS)


def user_line(frame: FrameType | None) -> str | None:
    """Return `file:line` of the innermost frame that belongs neither to Python, an installed package, nor to us."""
    while frame is not None:
        name = frame.f_code.co_filename
        if not is_library(name):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return None


_folders: tuple[str, ...] = ()


def _library_folders() -> tuple[str, ...]:
    global _folders
    if not _folders:
        paths = sysconfig.get_paths()
        found = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib") if key in paths}
        found.add(AGENT)
        torch_file = getattr(sys.modules.get("torch"), "__file__", None)
        if torch_file:
            found.add(os.path.dirname(torch_file))
        _folders = tuple(folder + os.sep for folder in found)
    return _folders

"""Register of all loaders of the script, and of the one that feeds the training."""

from __future__ import annotations

import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable

from .record import TRAIN, UNUSED, LoaderRecord, is_library, signature_of, user_line

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

STALE_VOTES = 8
"""Training forwards without a read of the training loader after which another one has replaced it."""
KEPT_BATCHES = 4
"""Batches that an iterator has delivered between two training forwards, and then ended, if the script keeps them."""
KEPT_FORWARDS = 16
"""Training forwards without any read after which the script is known to have kept the batches of an ended iterator, as
`list(loader)` does. More than the forwards that follow the last batch of an epoch in any training loop seen."""


class Register:
    """Loaders and their roles, as observed: a loader read before a training forward is a training loader."""

    def __init__(self) -> None:
        self.records: list[LoaderRecord] = []
        self.train: LoaderRecord | None = None
        self._by_id: dict[int, LoaderRecord] = {}
        self._made_at: dict[int, tuple[weakref.ref[Any], str | None]] = {}
        self._asked: dict[int, weakref.ref[Any]] = {}
        """Loaders whose length the script itself has asked for."""
        self._read: list[LoaderRecord] = []
        """Records read since the last training forward, the latest last."""
        self._undecided: LoaderRecord | None = None
        """Record whose latest batch only an untrained model has seen: an evaluation's, unless it then trains."""
        self._votes = 0
        self._unread = 0
        """Training forwards since the last read."""

    def made(self, loader: DataLoader[object], frame: FrameType) -> None:
        """Note that the script makes a loader."""
        number, places = id(loader), self._made_at

        def forget(_gone: object) -> None:
            places.pop(number, None)

        places[number] = (weakref.ref(loader, forget), user_line(frame))

    def saw_made(self, loader: DataLoader[object]) -> bool:
        """Return whether the script made this loader while it was watched."""
        known = self._made_at.get(id(loader))
        return known is not None and known[0]() is loader

    def length_asked(self, loader: DataLoader[object], frame: FrameType) -> None:
        """Note that code of the script, not of a library, asks how many batches there are."""
        number, asked = id(loader), self._asked
        if number in asked or is_library(frame.f_code.co_filename):
            return

        def forget(_gone: object) -> None:
            asked.pop(number, None)

        asked[number] = weakref.ref(loader, forget)
        record = self._by_id.get(number)
        if record is not None and record.loader() is loader:
            record.length_asked = True

    def counts_batches(self, record: LoaderRecord) -> bool:
        """Return whether the script may count on the length of this loader: in a schedule, a buffer, a division."""
        loader = record.loader()
        known = self._asked.get(id(loader)) if loader is not None else None
        record.length_asked = record.length_asked or (known is not None and known() is loader)
        return record.length_asked

    def find(self, loader: DataLoader[object]) -> LoaderRecord | None:
        """Return the record of a loader, or of the one it replaces: scripts may make a new loader every epoch."""
        record = self._by_id.get(id(loader))
        if record is not None and record.loader() is loader:
            return record
        signature = signature_of(loader, self._where(loader))
        for record in self.records:
            if record.signature == signature and record.gone:
                record.loader = weakref.ref(loader)
                self._index()
                return record
        return None

    def add(self, loader: DataLoader[object]) -> LoaderRecord:
        record = LoaderRecord(len(self.records), loader, self._where(loader))
        self.records.append(record)
        self._index()
        return record

    def delivered(self, record: LoaderRecord) -> None:
        """Note that a batch of this loader has reached the script."""
        if self._undecided is not None:
            self._settle_undecided()
        read = self._read
        if not read or read[-1] is not record:
            if record in read:
                read.remove(record)
            else:
                record.read_before = record.batches - 1
            read.append(record)

    def saw_training_forward(self, add_samples: Callable[[int], None]) -> None:
        """Mark the data read so far as for training. One loader's samples count, so that they can be compared."""
        self._undecided = None
        read = self._read
        if not read:
            self._unread += 1
            if self._unread >= KEPT_FORWARDS:
                self._drop_kept()
            return
        self._unread = 0
        self._votes += 1
        if len(read) == 1 and read[0] is self.train:  # the common case
            self.train.vote(train=True)
            self.train.last_train_vote = self._votes
            self.train.pending_samples = 0
            read.clear()
            return
        self._read = []
        read = [record for record in read if not _is_kept(record)]
        if not read:
            return
        for record in read:
            record.vote(train=True)
            record.last_train_vote = self._votes
        newest = read[-1]
        if self.train not in read and newest.pending_samples:
            add_samples(newest.pending_samples)  # the training loader's were added on delivery
        for record in read:
            record.pending_samples = 0
        if self.train is None or self._votes - self.train.last_train_vote > STALE_VOTES:
            self.train = newest

    def _drop_kept(self) -> None:
        """Let no loader be the training's whose batches were all read before: its settings mean nothing any more."""
        self._unread = 0
        for record in self.records:
            if record.role == TRAIN and _has_ended(record):
                record.role = UNUSED
                if record is self.train:
                    self.train = None

    def saw_evaluation_forward(self, weak: bool = False) -> None:
        """Count the loader read last as one for evaluation.

        `weak`: the model is not trained, such as a frozen part or a teacher. A training forward may follow on the same
        batch, so the next read decides.
        """
        if weak and self._read:
            self._undecided = self._read[-1]
        elif self._read:
            self._evaluated(self._read.pop())

    def _settle_undecided(self) -> None:
        record, self._undecided = self._undecided, None
        if record is not None and record in self._read:
            self._read.remove(record)
            self._evaluated(record)

    def _evaluated(self, record: LoaderRecord) -> None:
        record.pending_samples = 0
        record.vote(train=False)

    def _where(self, loader: DataLoader[object]) -> str | None:
        return self._made_at.get(id(loader), (None, None))[1]

    def _index(self) -> None:
        pairs = [(record.loader(), record) for record in self.records]
        self._by_id = {id(loader): record for loader, record in pairs if loader is not None}


def _is_kept(record: LoaderRecord) -> bool:
    """Return whether the script has read a whole epoch before the forward, as `list(loader)` does."""
    return record.batches - record.read_before >= KEPT_BATCHES and _has_ended(record)


def _has_ended(record: LoaderRecord) -> bool:
    """Return whether no iterator is left to read from, and no batch that another thread has read ahead."""
    return (record.iterator is None or record.iterator() is None) and not record.read_ahead

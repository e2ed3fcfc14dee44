"""All loaders of the script, and which of them feeds the training."""

from __future__ import annotations

import weakref
from types import FrameType
from typing import Any, Callable

from .loader_record import LoaderRecord, signature_of, user_line

STALE_VOTES = 8
"""A training loader that was not read before so many training forwards has been replaced by another."""


class Register:
    """Roles come from what happened: a loader read before a forward that trains is a training loader."""

    def __init__(self) -> None:
        self.records: list[LoaderRecord] = []
        self.train: LoaderRecord | None = None
        self._by_id: dict[int, LoaderRecord] = {}
        self._made_at: dict[int, tuple[weakref.ref[Any], str | None]] = {}
        self._read: list[LoaderRecord] = []
        """Read since the last training forward, the latest last."""
        self._votes = 0

    def made(self, loader: Any, frame: FrameType) -> None:
        """The script makes a loader."""
        number, places = id(loader), self._made_at

        def forget(_gone: object) -> None:
            places.pop(number, None)

        places[number] = (weakref.ref(loader, forget), user_line(frame))

    def find(self, loader: Any) -> LoaderRecord | None:
        """The record of a loader, or that of the one it replaces: scripts make a loader anew every epoch."""
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

    def add(self, loader: Any) -> LoaderRecord:
        record = LoaderRecord(len(self.records), loader, self._where(loader))
        self.records.append(record)
        self._index()
        return record

    def delivered(self, record: LoaderRecord) -> None:
        """A batch of this loader has reached the script."""
        read = self._read
        if not read or read[-1] is not record:
            if record in read:
                read.remove(record)
            read.append(record)

    def saw_training_forward(self, add_samples: Callable[[int], None]) -> None:
        """What was read for it is training data. Samples are those of one loader, so that they can be compared."""
        read = self._read
        if not read:
            return
        self._votes += 1
        if len(read) == 1 and read[0] is self.train:  # the common way
            self.train.vote(train=True)
            self.train.last_train_vote = self._votes
            self.train.pending_samples = 0
            read.clear()
            return
        self._read = []
        for record in read:
            record.vote(train=True)
            record.last_train_vote = self._votes
        newest = read[-1]
        if self.train not in read and newest.pending_samples:
            add_samples(newest.pending_samples)  # those of the training loader were added when they were delivered
        for record in read:
            record.pending_samples = 0
        if self.train is None or self._votes - self.train.last_train_vote > STALE_VOTES:
            self.train = newest

    def saw_evaluation_forward(self) -> None:
        """The loader read last is for evaluation."""
        if self._read:
            record = self._read.pop()
            record.pending_samples = 0
            record.vote(train=False)

    def _where(self, loader: Any) -> str | None:
        return self._made_at.get(id(loader), (None, None))[1]

    def _index(self) -> None:
        pairs = [(record.loader(), record) for record in self.records]
        self._by_id = {id(loader): record for loader, record in pairs if loader is not None}

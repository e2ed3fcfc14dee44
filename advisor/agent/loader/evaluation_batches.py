"""Larger batches for loaders that evaluate: the same samples in the same order, with fewer calls of the model.

A loader gets them once a whole evaluation was seen between two training batches. Its `len()` then counts the larger
batches. A script that keeps the number of batches from before, or that evaluates on some batches only, is refused.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Callable

from ...refused import Refused
from ..base.nothing import nothing
from .feed import Feed
from .limits import refuse_batch_size
from .record import EVALUATION, LoaderRecord, is_iterable
from .register import Register

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


class EvaluationBatches:
    """Batch sizes of the evaluation's loaders, one instance per process; observes until a size is set."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._size: int | None = None
        self._broke: Callable[[str], None] = nothing
        self.seen: list[LoaderRecord] = []
        """Loaders beside the training's that were read since its last batch."""
        self._ended: set[int] = set()
        """Of these, the numbers of those that were read to their end."""
        self._faults: dict[int, str | None] = {}
        """Number of a loader that has evaluated → why its batches must stay as they are; None if they need not."""
        self._raised: set[int] = set()
        self._asked: dict[int, weakref.ref[Any]] = {}
        """Loaders that were asked for their length, by identity."""
        self._asked_lately: set[int] = set()

    # --- for the knob -------------------------------------------------------------------------------------------------

    def set(self, size: int, broke: Callable[[str], None]) -> None:
        """Give evaluations batches of `size` from the next one on; Refused if it is known that none can have them.

        `broke` is called with the reason if an evaluation shows it later.
        """
        self.restore()
        known = {number: fault for number, fault in self._faults.items() if self._is_smaller(number, size)}
        faults = [fault for fault in known.values() if fault is not None]
        if known and len(faults) == len(known):
            raise Refused(faults[0])
        if self._faults and not known:
            raise Refused(f"the evaluation's batches are not smaller than {size} samples")
        self._size, self._broke = size, broke
        self._raised = {number for number, fault in known.items() if fault is None}

    def restore(self) -> None:
        self._size = None
        self._raised = set()

    def _is_smaller(self, number: int, size: int) -> bool:
        record = next((one for one in self._register.records if one.id == number), None)
        return record is not None and (record.facts["batch_size"] or size) < size

    # --- what deliveries report ---------------------------------------------------------------------------------------

    def begins(self, feed: Feed) -> None:
        """Regroup the batches of an iterator that begins."""
        if self._size is not None and feed.record.id in self._raised and feed.stream is not None:
            feed.stream.regroup(self._size, feed.record.facts["batch_size"] or 1, False)

    def delivers(self, record: LoaderRecord) -> None:
        """Note a batch of a loader that does not feed the training."""
        if record not in self.seen:
            self.seen.append(record)
            self._ended.discard(record.id)

    def ends(self, record: LoaderRecord) -> None:
        self._ended.add(record.id)

    def training_continues(self, updates: int) -> None:
        """Judge the evaluations since the training's last batch."""
        seen, self.seen = self.seen, []
        for record in seen:
            loader = record.loader()
            if record.role != EVALUATION or not updates or loader is None:
                continue
            fault = self._faults[record.id] = self._fault(record, loader)
            if self._size is None or not self._is_smaller(record.id, self._size):
                continue
            if fault is None:
                self._raised.add(record.id)
            else:
                self._raised.discard(record.id)
                if not self._raised:
                    self._broke(fault)
        self._asked_lately.clear()

    def _fault(self, record: LoaderRecord, loader: Any) -> str | None:
        """Return why the batches must stay as they are; None if they need not."""
        kept = id(loader) in self._asked and id(loader) not in self._asked_lately
        faults = {
            "the evaluation reads only some of its loader's batches": record.id not in self._ended,
            "the evaluation's loader feeds the training, too": record.votes_train > 0,
            f"{type(loader.dataset).__name__}, which the evaluation reads, is iterable": is_iterable(loader),
            "the evaluation's loader drops its last batch (drop_last=True)": bool(loader.drop_last),
            "the script keeps the number of its evaluation's batches from before": kept,
            "the evaluation's loader was made before advisor could watch it": not self._register.saw_made(loader),
        }
        found = next((why for why, holds in faults.items() if holds), None)
        if found is None:
            try:
                refuse_batch_size(loader, (record.facts["batch_size"] or 0) + 1)
            except Refused as refusal:
                found = str(refusal)
        return found

    # --- around len() -------------------------------------------------------------------------------------------------

    def length(self, loader: DataLoader[object], length: int) -> int:
        """Return the length of a loader as the script should see it; torch has counted `length` batches."""
        number = id(loader)
        if not self._register.saw_made(loader):
            return length  # a copy of ours
        if number not in self._asked:
            self._asked[number] = weakref.ref(loader, lambda _gone: self._asked.pop(number, None))
        self._asked_lately.add(number)
        if self._size is None or not self._raised:
            return length
        record = self._register.find(loader)
        if record is None or record.id not in self._raised:
            return length
        samples = record.facts["length_samples"]
        return -(-int(samples) // self._size) if samples is not None else length

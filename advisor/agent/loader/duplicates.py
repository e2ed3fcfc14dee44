"""Detection of samples that several workers of an iterable dataset deliver."""

from __future__ import annotations

import sys
from collections import abc
from typing import Any

COMPARED_SAMPLES = 1024
"""Samples to compare: enough to detect two unsharded workers, few enough to cost nothing."""

COLUMNS = 32
"""Numbers compared per tensor of a sample, evenly spread: two samples that agree in all are the same."""

LEAST_DISTINCT = 0.5
"""Least share of a worker's samples that must differ from each other; below it, content cannot tell them apart."""


class Duplicates:
    """Fingerprints of delivered samples, by the worker they came from."""

    def __init__(self) -> None:
        self._closed = False
        self._clear()

    def _clear(self) -> None:
        self._workers_of: dict[int, set[int]] = {}
        self._count_of: dict[int, int] = {}
        self._distinct: dict[int, set[int]] = {}
        self._total = 0

    @property
    def enough(self) -> bool:
        return self._closed or self._total >= COMPARED_SAMPLES

    def new_epoch(self) -> None:
        """Begin an epoch, in which every sample comes again: keep a result of the last epoch, else restart."""
        if self.fraction is not None:
            self._closed = True
        elif not self._closed:
            self._clear()

    def saw(self, worker: int, batch: object) -> None:
        for print_ in fingerprints(batch):
            self._workers_of.setdefault(print_, set()).add(worker)
            self._count_of[print_] = self._count_of.get(print_, 0) + 1
            self._distinct.setdefault(worker, set()).add(print_)
            self._total += 1

    @property
    def fraction(self) -> float | None:
        """Share of the samples that another worker delivered too; None if unknown."""
        if len(self._distinct) < 2 or not self._total:
            return None
        if sum(len(own) for own in self._distinct.values()) < LEAST_DISTINCT * self._total:
            return None
        shared = sum(self._count_of[print_] for print_, workers in self._workers_of.items() if len(workers) > 1)
        return shared / self._total


def fingerprints(batch: object) -> list[int]:
    """Return one number for every sample of the batch; empty if it has no distinguishable samples."""
    columns: list[list[Any]] = []
    _collect(batch, columns)
    if not columns:
        return []
    length = len(columns[0])
    return [hash(row) for row in zip(*(column for column in columns if len(column) == length))]


def _collect(value: object, columns: list[list[Any]]) -> None:
    if isinstance(value, sys.modules["torch"].Tensor):
        if value.dim() and value.shape[0]:
            rows = value.detach().reshape(value.shape[0], -1)
            step = max(1, rows.shape[1] // COLUMNS)
            columns.append([tuple(row) for row in rows[:, ::step].tolist()])
    elif isinstance(value, abc.Mapping):
        for item in value.values():
            _collect(item, columns)
    elif isinstance(value, (list, tuple)):
        if value and all(isinstance(item, (str, bytes)) for item in value):
            columns.append(list(value))
        else:
            for item in value:
                _collect(item, columns)

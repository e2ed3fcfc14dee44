"""Kept samples of one form, in a tensor for each of their parts: a batch is drawn from these at once.

Stacking samples one by one takes most of the time where they are small. A batch from here has the same bits: the rows
of the tensors are made by torch's own collate function, and samples of any other form end the table.
"""

from __future__ import annotations

import sys
from collections import abc
from typing import Any

from ..base.tensors import tensors_in
from .sample_parts import DEPTH


class OtherForm(Exception):
    """A sample differs from the first ones in its containers, types or shapes: no table can hold both."""


class Batch:
    """Whole batch in place of the list of its samples, for `collated`."""

    __slots__ = ("content", "samples")

    def __init__(self, content: Any, samples: int) -> None:
        self.content = content
        self.samples = samples

    def __len__(self) -> int:
        return self.samples


def collated(samples: Any) -> Any:
    """Return the batch of these samples, as torch's own collate function makes it; a `Batch` is one already."""
    from torch.utils.data import default_collate

    return samples.content if isinstance(samples, Batch) else default_collate(samples)


class SampleTable:
    """Rows of samples by the keys of their indices."""

    def __init__(self, sample: Any, rows: int) -> None:
        """Prepare for this number of samples of the form of `sample`; raise OtherForm if a table cannot hold it."""
        from torch.utils.data import default_collate

        torch = sys.modules["torch"]
        self._form = _form(sample)
        self._like = default_collate([sample])
        self._columns = [torch.empty((rows, *leaf.shape[1:]), dtype=leaf.dtype) for leaf in tensors_in(self._like)]
        self._row_of: dict[Any, int] = {}
        self.row_bytes = sum(column[0].numel() * column.element_size() for column in self._columns)

    def __contains__(self, key: object) -> bool:
        return key in self._row_of

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, keys: list[Any], samples: list[Any]) -> None:
        """Keep these samples. Raises OtherForm before anything is kept."""
        from torch.utils.data import default_collate

        if len(self) + len(keys) > len(self._columns[0]):
            raise OtherForm("more samples than the dataset has")
        if any(_form(sample) != self._form for sample in samples):
            raise OtherForm("a sample has another form")
        rows = list(range(len(self), len(self) + len(keys)))
        for column, leaf in zip(self._columns, tensors_in(default_collate(samples))):
            column[rows] = leaf
        self._row_of.update(zip(keys, rows))

    def batch(self, keys: list[Any]) -> Any:
        """Return the batch of these samples, all of which are kept, in memory of its own."""
        rows = sys.modules["torch"].tensor([self._row_of[key] for key in keys])
        return _rebuilt(self._like, iter([column[rows] for column in self._columns]))

    def clear(self) -> None:
        """Keep nothing any more."""
        self._row_of.clear()


def _form(sample: Any, depth: int = DEPTH) -> Any:
    """Return the containers, types and shapes of a sample; raise OtherForm if batches of it are not plain tensors."""
    kind, numpy = type(sample), sys.modules.get("numpy")
    found: Any = None
    if kind is sys.modules["torch"].Tensor:
        found = (sample.dtype, tuple(sample.shape)) if _is_plain(sample) else None
    elif kind in (bool, int, float):
        found = ()
    elif numpy is not None and isinstance(sample, (numpy.ndarray, numpy.number, numpy.bool_)):
        found = (str(sample.dtype), sample.shape)
    elif kind is dict and depth:
        found = tuple((key, _form(part, depth - 1)) for key, part in sample.items())
    elif kind in (list, tuple) and sample and depth:
        found = tuple(_form(part, depth - 1) for part in sample)
    if found is None:
        raise OtherForm(f"it holds a {kind.__name__}")
    return kind, found


def _is_plain(tensor: Any) -> bool:
    strided = sys.modules["torch"].strided
    return bool(tensor.layout is strided and tensor.device.type == "cpu" and not tensor.requires_grad)


def _rebuilt(like: Any, leaves: abc.Iterator[Any]) -> Any:
    """Return the containers of `like` with these tensors."""
    if isinstance(like, sys.modules["torch"].Tensor):
        return next(leaves)
    if isinstance(like, dict):
        return {key: _rebuilt(part, leaves) for key, part in like.items()}
    return type(like)(_rebuilt(part, leaves) for part in like)

"""Parts of a sample: equality of two, independence of a copy, size."""

from __future__ import annotations

import enum
import sys
from collections import abc
from typing import Any

DEPTH = 8
"""Depth of nested containers; a deeper sample is not searched through."""
PLAIN = (type(None), bool, int, float, complex, str, bytes)
"""Types that cannot be edited in place: the same object may be delivered again."""
NESTED_DATASETS = 3
"""Depth of nested datasets, such as a subset of a concatenation of a dataset."""


def equal(one: object, other: Any, depth: int = DEPTH) -> str | None:
    """Return None if both hold the same; else what differs, or what cannot be compared."""
    name = type(one).__name__
    if type(one) is not type(other):
        return f"{name} first, {type(other).__name__} then"
    same = _same_leaf(one, other)
    if same is not None:
        return None if same else f"a {name} differs"
    parts, others = _parts(one), _parts(other)
    if parts is None or others is None or depth == 0:
        return f"a {name} cannot be compared"
    if list(parts) != list(others):
        return f"a {name} has different elements"
    return next((why for key in parts if (why := equal(parts[key], others[key], depth - 1)) is not None), None)


def copy_is_whole(copied: object, sample: object, depth: int = DEPTH) -> str | None:
    """Return None if the copy shares nothing that can be edited; else the reason why it is not fit."""
    name = type(sample).__name__
    parts, copies = _parts(sample) or {}, _parts(copied) or {}
    if isinstance(sample, _tensor()) and (sample.requires_grad or sample.device.type != "cpu"):
        return f"a {name} requires a gradient" if sample.requires_grad else f"a {name} is on {sample.device}"
    if copied is sample and not _cannot_change(sample):
        return f"a {name} cannot be copied"
    if isinstance(sample, _tensor()) or depth == 0:
        return None
    found = (copy_is_whole(copies[key], part, depth - 1) for key, part in parts.items() if key in copies)
    return next((why for why in found if why is not None), None)


def _same_leaf(one: object, other: Any) -> bool | None:
    """Compare tensors, arrays, pictures, numbers and texts; return None for values with parts."""
    if isinstance(one, _tensor()):
        return _same_tensor(one, other)
    if isinstance(one, PLAIN):
        return repr(one) == repr(other)  # NaN equals itself here, and the two zeros differ
    if hasattr(one, "tobytes"):  # arrays of numpy, pictures of PIL
        facts = [getattr(one, name, None) == getattr(other, name, None) for name in ("shape", "dtype", "mode", "size")]
        return all(facts) and one.tobytes() == other.tobytes()
    return None


def _cannot_change(value: object) -> bool:
    if isinstance(value, (*PLAIN, enum.Enum)):
        return True
    if isinstance(value, tuple):
        return all(map(_cannot_change, value))
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def bytes_of(value: object, depth: int = DEPTH) -> int:
    """Return the bytes of a sample's tensors, arrays, pictures and texts."""
    if isinstance(value, _tensor()):
        return int(value.numel() * value.element_size()) if value.layout is _strided() else sys.getsizeof(value)
    if hasattr(value, "tobytes"):
        return len(value.tobytes())
    parts = _parts(value) if depth else None
    own = sys.getsizeof(value)
    return own if parts is None else own + sum(bytes_of(part, depth - 1) for part in parts.values())


def only_plain(value: object, depth: int = DEPTH) -> bool:
    """Return whether torch's own collate function makes a batch that shares nothing with the value.

    It does for tensors, arrays, numbers and texts in plain containers.
    """
    if isinstance(value, PLAIN) or type(value) is _tensor() or type(value).__module__ == "numpy":
        return True
    if depth == 0 or type(value) not in (dict, list, tuple):
        return False
    return all(only_plain(part, depth - 1) for part in (_parts(value) or {}).values())


class Stamp:
    """Present attributes of a dataset, and of the datasets that it holds."""

    def __init__(self, dataset: object) -> None:
        self._owners = list(nested_datasets(dataset))
        self._seen = [dict(owner.__dict__) for owner in self._owners]

    def changed(self) -> str | None:
        """Return the name of an attribute that has changed; None if there is none."""
        for owner, seen in zip(self._owners, self._seen):
            now = owner.__dict__
            if len(now) != len(seen):
                return str(next(iter(now.keys() ^ seen.keys())))
            for name, value in now.items():
                before = seen.get(name, self)
                if value is before or (type(value) is type(before) and isinstance(value, PLAIN) and value == before):
                    continue
                return str(name)
        return None


def nested_datasets(dataset: object, depth: int = NESTED_DATASETS) -> abc.Iterator[Any]:
    """Yield the dataset and those that it holds, if they have attributes."""
    from torch.utils.data import Dataset

    if not hasattr(dataset, "__dict__"):
        return
    yield dataset
    for value in list(dataset.__dict__.values()):
        for inner in value if isinstance(value, (list, tuple)) and len(value) < 100 else [value]:
            if depth and isinstance(inner, Dataset):
                yield from nested_datasets(inner, depth - 1)


def _parts(value: object) -> dict[Any, Any] | None:
    """Return the parts of a container, or of an object with attributes; None if it is neither."""
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    own = getattr(value, "__dict__", None)
    return dict(own) if isinstance(own, dict) and not isinstance(value, type) else None


def _same_tensor(one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.layout is not other.layout:
        return False
    if one.layout is not _strided():
        one, other = one.to_dense(), other.to_dense()
    if one.is_floating_point() or one.is_complex():
        return bool(((one == other) | (one.isnan() & other.isnan())).all())
    return bool(one.equal(other))


def _tensor() -> Any:
    return sys.modules["torch"].Tensor


def _strided() -> Any:
    return sys.modules["torch"].strided

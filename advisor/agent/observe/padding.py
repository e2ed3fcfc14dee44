"""Share of padding in the model's batches, from masks, or from a token that fills the ends of rows and nothing else.

A few forwards are inspected, ever farther apart. On an accelerator the counts stay there until they are asked for.
"""

from __future__ import annotations

import math
import sys
from typing import Any, Callable

from ..base import modes

MOST_INSPECTED = 16
GROWTH = 1.5
"""Factor between the numbers of two inspected forwards. An inspection takes about 0.1 ms on a CPU."""
LEAST_ROWS, LEAST_LENGTH = 2, 8
"""Smallest batches of sequences: shorter rows may be anything."""
LEAST_BATCHES = 3
"""Batches that must agree."""
MOST_OF_THEM = 0.75
"""Share of the inspected batches that must agree: in some, all rows may be equally long."""
LEAST_RANGE = 16
"""Least difference of the largest and the smallest token: ends of rows in a small set of classes may be anything."""
ROWS_FILLED = 0.5
"""Share of the rows whose ends the token must fill: each batch has one row at least without any padding."""

_MASK, _TOKENS = "mask", "tokens"
# Places in the counts of one tensor.
_ROWS, _LENGTH, _RANGE, _PADDING, _LONGEST, _SHORTEST, _ALONE, _TOKEN, _FILLED = range(9)


class PaddingWatch:
    """Inspection of the arguments of trained forwards; `report` gives the fields of `types.Padding`."""

    def __init__(self) -> None:
        self.next: float = 1
        """Number of the forward to inspect next; infinity after the last one."""
        self._left = MOST_INSPECTED
        self._counts: dict[tuple[str, str], list[tuple[int, int, Any]]] = {}
        """Rows, length and counts of the batches, by the kind and the name of the argument."""

    def inspect(self, forward: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Inspect the arguments of this forward; never raise. Nothing is done while anybody watches operators."""
        self._left -= 1
        self.next = max(forward + 1, int(forward * GROWTH)) if self._left else math.inf
        try:
            self._inspect(args, kwargs)
        except Exception:  # a tensor of the user's may refuse anything
            self.next = math.inf

    def _inspect(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        torch = sys.modules["torch"]
        tensors = _named(args, kwargs)
        if not tensors or modes.are_watched() or _must_be_deterministic(tensors[0][1], torch):
            return
        if torch.autograd._profiler_enabled():  # the script's own: its tables would show what is done here
            return
        shapes = [tuple(tensor.shape[:2]) for _, tensor in tensors]
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for name, tensor in tensors:
                kind = _kind(name, tensor, torch)
                if kind == _MASK and shapes.count(tuple(tensor.shape)) < 2:
                    continue  # no batch of as many sequences is beside it
                if kind is not None:
                    counts = (*tensor.shape, _count(tensor, name, kind, torch))
                    self._counts.setdefault((kind, name), []).append(counts)

    def report(self) -> dict[str, Any] | None:
        """Return what was found; None if no argument is known to be padded or not. Never raise."""
        try:
            return self._report()
        except RuntimeError:  # a tensor that exists only inside a transformation, or a device that has failed
            return None

    def _report(self) -> dict[str, Any] | None:
        found = []
        for (kind, name), counts in self._counts.items():
            batches = [[float(rows), float(length), *batch.tolist()] for rows, length, batch in counts]
            padded = [batch for batch in batches if _convinces(kind, name, batch, batches)]
            if len(padded) >= max(LEAST_BATCHES, MOST_OF_THEM * len(batches)):
                found.append((kind == _MASK, _described(kind, name, batches, padded)))
        return max(found, key=lambda item: (item[0], item[1]["fraction"]))[1] if found else None


def _described(kind: str, name: str, batches: list[list[float]], padded: list[list[float]]) -> dict[str, Any]:
    """Return the shares over all batches; those that do not convince have no padding, as far as is known."""
    tokens = sum(batch[_ROWS] * batch[_LENGTH] for batch in batches)
    return {
        "fraction": sum(batch[_PADDING] for batch in padded) / tokens,
        "beyond_longest": sum(batch[_ROWS] * (batch[_LENGTH] - batch[_LONGEST]) for batch in padded) / tokens,
        "batches": len(batches),
        "length": int(max(batch[_LENGTH] for batch in batches)),
        "source": kind,
        "argument": name,
    }


def _convinces(kind: str, name: str, batch: list[float], batches: list[list[float]]) -> bool:
    """Return whether this batch shows padding, in the same way as the others."""
    if not batch[_ALONE] or batch[_SHORTEST] < 1:
        return False
    if kind == _MASK:
        if not _is_known(name) and batch[_FILLED] == 1.0:
            return False  # all rows begin with one value and end with the other: either may be padding
        triangle = batch[_LENGTH] * (batch[_LENGTH] - 1) / 2  # a causal mask for as many rows as tokens
        return batch[_ROWS] != batch[_LENGTH] or batch[_PADDING] != triangle
    tokens = [other[_TOKEN] for other in batches]
    most = max(tokens, key=tokens.count)
    return batch[_TOKEN] == most and batch[_FILLED] >= ROWS_FILLED and batch[_RANGE] >= LEAST_RANGE


def _named(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the plain tensors among the arguments, and in dictionaries among them, with their names."""
    plain = sys.modules["torch"].Tensor
    found: list[tuple[str, Any]] = []
    for name, value in [*((str(place), arg) for place, arg in enumerate(args)), *kwargs.items()]:
        inner = value.items() if hasattr(value, "items") and not isinstance(value, plain) else [(name, value)]
        found += [(str(key), item) for key, item in inner if type(item) is plain]
    return found


def _kind(name: str, tensor: Any, torch: Any) -> str | None:
    """Return whether a tensor may be a mask of tokens, or tokens; None if it is neither."""
    if tensor.dim() != 2 or tensor.shape[0] < LEAST_ROWS or tensor.shape[1] < LEAST_LENGTH:
        return None
    if tensor.is_meta or tensor.layout is not torch.strided:
        return None
    if tensor.dtype == torch.bool or "mask" in name:
        return _MASK
    return _TOKENS if tensor.dtype in (torch.int64, torch.int32) and "label" not in name else None


def _must_be_deterministic(tensor: Any, torch: Any) -> bool:
    """Return whether the script would be warned of operators that count on an accelerator."""
    return bool(tensor.device.type != "cpu" and torch.are_deterministic_algorithms_enabled())


def _count(tensor: Any, name: str, kind: str, torch: Any) -> Any:
    """Return the counts of one batch, from the range of its tokens on, as a tensor on its own device."""
    if kind == _TOKENS:
        found = (tensor.max() - tensor.min(), *_from_both_sides(tensor, lambda rows: torch.mode(rows[:, 0]).values))
    else:
        counts = _from_both_sides(tensor != 0, lambda rows: _masked_out(rows, name, torch))
        found = (counts[0], *counts)
    return torch.stack([value.double() for value in found])


def _is_known(name: str) -> bool:
    """Return whether the name says what the mask's ones are: `key_padding_mask` is padding, `attention_mask` is not."""
    return "pad" in name or "att" in name


def _masked_out(rows: Any, name: str, torch: Any) -> Any:
    """Return the mask's value for padding: by its name, or else the one that not all rows have at their other end."""
    if _is_known(name):
        return torch.full_like(rows[0, 0], "pad" in name)
    return ~rows[0, -1]


def _from_both_sides(tensor: Any, value_of: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Return padding, longest and shortest row, whether it is alone, the token, and the share of rows filled.

    Padding is a run of one value up to an end of the rows that stands nowhere else: the right end or the left one,
    whichever holds more.
    """
    right, left = (_run(rows, value_of(rows)) for rows in (tensor.flip(1), tensor))
    from_left = left[3] & (~right[3] | (left[0] > right[0]))
    return tuple(one.double() * from_left + other.double() * ~from_left for one, other in zip(left, right))


def _run(rows: Any, value: Any) -> tuple[Any, ...]:
    same = rows == value
    run = same.long().cumprod(1).sum(1)
    lengths = rows.shape[1] - run
    return run.sum(), lengths.max(), lengths.min(), same.sum() == run.sum(), value, (run > 0).double().mean()

"""Differences or products of all pairs of rows, spread out in one large tensor before they are summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames
from .addresses import address_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

SPREADING = {"sub": "differences", "mul": "products"}
"""Operators of two tensors, whose sum over a dimension is a distance or a product of matrices."""
SUMMING = ("sum", "mean", "norm", "linalg_vector_norm", "amax", "amin")
LEAST_RATIO = 8
"""Elements of the result for each of the larger operand: fewer is a mask or a weight for each row."""
LEAST_ELEMENTS = 1_000_000
"""Size of a tensor below which it fits into a CPU's caches."""


class SpreadPairs:
    """Time in operators on such tensors, forward and backward, by their size; none of it raises."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._ns_by_size: dict[int, int] = {}
        """Elements of a spread tensor → nanoseconds in all operators on tensors of its size."""
        self._summed: set[int] = set()
        self._sites: dict[int, tuple[str, int, str, str]] = {}
        """Elements → file, line and function that spread it, and what it holds."""
        self._bytes: dict[int, int] = {}
        """Elements → bytes of one such tensor."""
        self._moved_bytes: dict[int, int] = {}

    def saw(self, name: str, args: Any, result: Tensor, spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        size = result.numel()
        if forward and size >= LEAST_ELEMENTS and size not in self._sites and name in SPREADING:
            self._look(name, args, result)
        if not self._sites:
            return
        taken = args[0].numel() if args and hasattr(args[0], "numel") else 0
        known = size if size in self._sites else taken
        if known not in self._sites:
            return
        self._ns_by_size[known] = self._ns_by_size.get(known, 0) + spent_ns
        if name.endswith("_") or not taken or address_of(args[0]) != address_of(result):  # no view
            moved = sum(each.numel() * each.element_size() for each in (result, *args) if hasattr(each, "numel"))
            self._moved_bytes[known] = self._moved_bytes.get(known, 0) + moved
        if forward and name in SUMMING and size * LEAST_RATIO <= taken:
            self._summed.add(known)

    def _look(self, name: str, args: Any, result: Tensor) -> None:
        operands = [each.numel() for each in args[:2] if hasattr(each, "numel")]
        if len(operands) < 2 or max(operands) * LEAST_RATIO > result.numel():
            return
        self._sites[result.numel()] = (*self._frames.line(caller_of_operator(self._frames)), SPREADING[name])
        self._bytes[result.numel()] = result.numel() * result.element_size()

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        size = max(self._summed, key=lambda each: self._ns_by_size[each], default=None)
        if size is None:
            return {"pairs": None}
        file, line, function, holds = self._sites[size]
        return {
            "pairs": {
                "file": file,
                "line": line,
                "function": function,
                "holds": holds,
                "bytes": self._bytes[size],
                "bytes_per_update": self._moved_bytes[size] // updates,
                "seconds_per_update": self._ns_by_size[size] / 1e9 / updates,
            }
        }

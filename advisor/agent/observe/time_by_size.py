"""Time in all operators on large tensors, forward and backward, by the number of elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ELEMENTS = 100_000
"""Size of a tensor below which work on it is cheap; there, many have the same size by accident."""


class TimeBySize:
    """Sums for watches that learn only later which tensors matter: a gradient has the size of what it belongs to."""

    def __init__(self) -> None:
        self._ns: dict[int, int] = {}
        self._bytes: dict[int, int] = {}

    def saw(self, args: Any, result: Tensor, spent_ns: int) -> None:
        """Note an operator that has just run."""
        tensors = [each for each in (result, *args) if hasattr(each, "numel")]
        sizes = {each.numel() for each in tensors}
        moved = sum(each.numel() * each.element_size() for each in tensors)
        for size in sizes:
            if size >= LEAST_ELEMENTS:
                self._ns[size] = self._ns.get(size, 0) + spent_ns
                self._bytes[size] = self._bytes.get(size, 0) + moved

    def ns(self, size: int) -> int:
        return self._ns.get(size, 0)

    def per_update(self, size: int, updates: int) -> dict[str, Any]:
        """Return the fields of a type that says what operators on tensors of this size take."""
        return {
            "seconds_per_update": self._ns.get(size, 0) / 1e9 / updates,
            "bytes_per_update": self._bytes.get(size, 0) // updates,
        }

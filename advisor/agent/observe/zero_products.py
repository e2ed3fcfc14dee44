"""Products with matrices that hold almost nothing but zeros: one-hot rows, counts of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames
from .addresses import address_of
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

PRODUCTS = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}
"""Products, with the position of their first operand."""
LEAST_ELEMENTS = 100_000
"""Size of a matrix below which a product with it is cheap, whatever it holds."""
SAMPLED_ROWS = 64
"""Rows looked at, evenly spread."""
ZEROS = 0.98
"""Fraction of zeros from which a lookup or a sparse product does far less work; dropout and ReLU leave less of them."""


class ZeroProducts:
    """Time around such matrices on the CPU, and the line of the largest; a fault of its own ends the watch."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._ns_by_size: dict[int, int] = {}
        self._sites: dict[int, tuple[str, int, str, int, int]] = {}
        """Elements of a matrix → file, line and function of its first product, rows and columns."""
        self._alive: set[int] = set()
        """Addresses of such matrices that the present graph keeps for its backward."""
        self._forward = True
        self.on = True

    def saw(self, name: str, args: Any, result: Tensor, spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        try:
            if forward and not self._forward:
                self._alive.clear()
            self._forward = forward
            place = PRODUCTS.get(name)
            if place is not None and forward:
                self._look(args[place])
            tensors = [each for each in (result, *args) if hasattr(each, "numel")]
            # Before its product, such a matrix is made of data alone; afterwards its address tells it from activations
            # and gradients of the same size.
            made = forward and not any(each.requires_grad for each in tensors)
            of_it = (x for x in tensors if x.numel() >= LEAST_ELEMENTS and (made or address_of(x) in self._alive))
            for size in {each.numel() for each in of_it}:
                self._ns_by_size[size] = self._ns_by_size.get(size, 0) + spent_ns
        except Exception:  # a class of tensors of the user's
            self.on = False

    def _look(self, matrix: Tensor) -> None:
        size = matrix.numel()
        # What parameters computed (units that a ReLU keeps at zero) is no data that a lookup could replace.
        if size < LEAST_ELEMENTS or matrix.requires_grad or not is_mostly_zero(matrix):
            return
        self._alive.add(matrix.data_ptr())
        if size in self._sites:
            return
        file, line, function = self._frames.line(caller_of_operator(self._frames))
        self._sites[size] = (file, line, function, int(matrix.shape[-2]), int(matrix.shape[-1]))

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        largest = max(self._sites, key=lambda size: self._ns_by_size.get(size, 0), default=None)
        if largest is None or not self.on:
            return {"zero_product": None}
        file, line, function, rows, columns = self._sites[largest]
        return {
            "zero_product": {
                "file": file,
                "line": line,
                "function": function,
                "rows": rows,
                "columns": columns,
                "seconds_per_update": self._ns_by_size.get(largest, 0) / 1e9 / updates,
            }
        }


def is_mostly_zero(matrix: Tensor) -> bool:
    """Return whether a matrix on the CPU holds at least 98% zeros, and not zeros alone."""
    if matrix.device.type != "cpu" or not matrix.is_floating_point():
        return False
    rows = matrix if matrix.dim() == 2 else matrix[0]
    sample = rows[:: max(1, rows.shape[0] // SAMPLED_ROWS)]
    held = int(sample.count_nonzero())
    return 0 < held <= (1 - ZEROS) * sample.numel()

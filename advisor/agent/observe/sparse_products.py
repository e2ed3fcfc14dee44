"""Products with a sparse matrix in coordinate form, whose backward transposes and sorts it each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..loop.frames import Frames
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

PRODUCTS = ("_sparse_mm", "addmm", "mm", "_sparse_addmm")


class SparseProducts:
    """Time in operators on sparse tensors in coordinate form, and the line of a product with a constant one."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._ns = {True: 0, False: 0}
        """In the forward → nanoseconds."""
        self._site: tuple[str, int, str, int] | None = None
        """File, line and function, and the numbers that are not zero."""

    def saw(self, name: str, inputs: list[Tensor], results: list[Tensor], spent_ns: int, *, forward: bool) -> None:
        """Note an operator that has just run."""
        sparse = [each for each in (*inputs, *results) if each.is_sparse]
        if not sparse:
            return
        self._ns[forward] += spent_ns
        if forward and self._site is None and name in PRODUCTS and not sparse[0].requires_grad:
            self._site = (*self._frames.line(caller_of_operator(self._frames)), int(sparse[0]._nnz()))

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        if self._site is None:
            return {"sparse": None}
        file, line, function, stored = self._site
        whole_ns = sum(self._ns.values())
        return {
            "sparse": {
                "file": file,
                "line": line,
                "function": function,
                "stored": stored,
                "backward_fraction": self._ns[False] / whole_ns if whole_ns else 0.0,
                "seconds_per_update": whole_ns / 1e9 / updates,
            }
        }

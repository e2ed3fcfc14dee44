"""Operators on denormal numbers, which many CPUs are slow in: found in samples of what they take and give."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..base.tensors import tensors_in

if TYPE_CHECKING:
    from torch import Tensor

LEAST_ELEMENTS = 1024
"""Size below which a tensor is not looked at: a thousand slow numbers cost less than the call of the operator."""
SAMPLED = 4096
"""Elements looked at of each tensor, evenly spread."""
LEAST_FRACTION = 0.002
"""Fraction of denormal numbers from which an operator counts: one of them stalls a vector of 8 or 16 for as long as a
hundred others take."""
MOST_TENSORS = 8
"""Tensors looked at of each operator; those that work on lists take dozens."""
DENORMAL = 1e-39
TRIED_SIZE = 128
"""Rows and columns of the matrix on which this CPU's slowdown is tried: far less than a millisecond."""
TRIES = 5


class DenormalWatch:
    """Time of operators by their names; a fault of its own ends the watch."""

    def __init__(self) -> None:
        self._ns_by_name: dict[str, int] = {}
        self.on = True

    def saw(self, name: str, args: Any, result: Any, spent_ns: int) -> None:
        """Note an operator that has just run."""
        try:
            if any(is_denormal(tensor) for tensor in islice(tensors_in((result, args)), MOST_TENSORS)):
                self._ns_by_name[name] = self._ns_by_name.get(name, 0) + spent_ns
        except Exception:  # a class of tensors of the user's
            self.on = False

    def report(self, updates: int) -> dict[str, Any]:
        """Return the fields of `types.OperatorUse` that this watch knows."""
        by_name = sorted(self._ns_by_name, key=lambda name: -self._ns_by_name[name])
        return {
            "denormal_seconds": sum(self._ns_by_name.values()) / 1e9 / updates if self.on else None,
            "denormal_operators": by_name[:3],
            "denormal_slowdown": slowdown() if by_name and self.on else None,
        }


def slowdown() -> float:
    """Return the time of a product of denormal numbers on this CPU, relative to one of others."""
    import torch

    weights = torch.full((TRIED_SIZE, TRIED_SIZE), 0.5)
    return _least_s(torch.full_like(weights, DENORMAL), weights) / _least_s(torch.full_like(weights, 0.25), weights)


def _least_s(first: Tensor, second: Tensor) -> float:
    least_s = float("inf")
    for _ in range(TRIES):
        begin_s = time.perf_counter()
        first.mm(second)
        least_s = min(least_s, time.perf_counter() - begin_s)
    return least_s


def is_denormal(tensor: Tensor) -> bool:
    """Return whether a tensor on the CPU holds denormal numbers in a fraction worth having."""
    import torch

    size = tensor.numel()
    if tensor.dtype not in (torch.float32, torch.float64) or size < LEAST_ELEMENTS or tensor.device.type != "cpu":
        return False
    if tensor.layout != torch.strided or not tensor.is_contiguous():
        return False
    sample = tensor.detach().view(-1)[:: max(1, size // SAMPLED)]
    tiny = torch.finfo(tensor.dtype).tiny
    count = torch.count_nonzero((sample.abs() < tiny) & (sample != 0))
    return float(count) >= LEAST_FRACTION * sample.numel()

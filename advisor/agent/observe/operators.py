"""Operators of traced updates: their time by dtype, and what their order shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..loop.clock import BACKWARD, OPTIMIZER, StepClock
from ..loop.frames import Frames
from .attention import AttentionWatch
from .denormals import DenormalWatch
from .joined_tensors import JoinedTensors
from .operator_names import OperatorNames
from .prefixes import Prefixes
from .spread_pairs import SpreadPairs
from .zero_products import ZeroProducts

if TYPE_CHECKING:
    from torch import Tensor

DECOMPOSITIONS = ("cholesky", "eig", "svd", "solve", "_lu", "qr", "inv", "ldl", "lstsq", "det")
"""Parts of the names of operators that lose many digits in single precision."""


class Operators:
    """Sums over the operators that a tracer sees; none of it raises into the script."""

    def __init__(self, clock: StepClock, frames: Frames) -> None:
        import torch

        self._clock = clock
        self._is_grad_enabled = torch.is_grad_enabled
        self._attention = AttentionWatch(frames)
        self._denormals = DenormalWatch()
        self._zeros = ZeroProducts(frames)
        self._prefixes = Prefixes(frames)
        self._joined = JoinedTensors(frames)
        self._pairs = SpreadPairs(frames)
        self._reads_shapes = True
        """False once a tensor had no storage."""
        self._names = OperatorNames()
        self._ns_by_dtype: dict[str, int] = {}
        self._bytes_by_dtype: dict[str, int] = {}
        self._reads_attention = True
        self._differentiates_twice = False
        self.total_ns = 0
        self.draws_before = False
        """True if random numbers were drawn since the last backward; whole numbers do not count, which pick samples."""

    def saw(self, func: Any, args: Any, result: Any, spent_ns: int) -> None:
        """Note an operator that has just run."""
        self.total_ns += spent_ns
        forward = self._clock.phase not in (BACKWARD, OPTIMIZER)
        if self._clock.phase == BACKWARD:
            self.draws_before = False
        tensor = _first_tensor(result)
        if tensor is None:
            tensor = _first_tensor(args)
        if tensor is None:
            return
        name, draws = self._names.of(func)
        if self._zeros.on:  # one-hot rows are whole numbers first
            self._zeros.saw(name, args, tensor, spent_ns, forward=forward)
        if not (tensor.is_floating_point() or tensor.is_complex()):
            return
        if not forward and not self._differentiates_twice:
            # `autograd.grad` makes its first gradient by `ones_like`, before it turns gradients off.
            graph = self._clock.phase == BACKWARD and self._is_grad_enabled()
            self._differentiates_twice = graph and name != "ones_like"
        self.draws_before = self.draws_before or (draws and forward)
        if self._denormals.on:
            self._denormals.saw(name, args, result, spent_ns)
        dtype = str(tensor.dtype).replace("torch.", "")
        self._ns_by_dtype[dtype] = self._ns_by_dtype.get(dtype, 0) + spent_ns
        try:
            size = int(tensor.numel()) * int(tensor.element_size())
            self._bytes_by_dtype[dtype] = self._bytes_by_dtype.get(dtype, 0) + size
            if self._reads_shapes:
                self._prefixes.saw(name, args, spent_ns, forward=forward)
                self._joined.saw(name, args, tensor, spent_ns, forward=forward)
                self._pairs.saw(name, args, tensor, spent_ns, forward=forward)
            if self._reads_attention:
                self._attention.saw(name, args, tensor, spent_ns, forward=forward, draws=draws)
        except Exception:  # a tensor without storage: sparse, or a class of the user's
            self._reads_attention = self._reads_shapes = False

    def report(self, updates: int) -> dict[str, Any]:
        """Return the fields of `types.OperatorUse` that this observer knows."""
        return {
            "seconds": self.total_ns / 1e9 / updates,
            "seconds_by_dtype": {dtype: ns / 1e9 / updates for dtype, ns in self._ns_by_dtype.items()},
            "bytes_by_dtype": {dtype: size // updates for dtype, size in self._bytes_by_dtype.items()},
            "decomposes": any(map(_is_decomposition, self._names.seen)),
            "differentiates_twice": self._differentiates_twice,
            **self._denormals.report(updates),
            **self._zeros.report(updates),
            **(self._report_of_shapes(updates) if self._reads_shapes else {}),
            "attention": self._attention.report(updates) if self._reads_attention else [],
        }

    def _report_of_shapes(self, updates: int) -> dict[str, Any]:
        return {**self._prefixes.report(), **self._joined.report(updates), **self._pairs.report(updates)}


def _is_decomposition(name: str) -> bool:
    return ("linalg" in name and any(part in name for part in DECOMPOSITIONS)) or "cholesky" in name


def _first_tensor(value: Any) -> Tensor | None:
    if hasattr(value, "numel"):
        return value  # type: ignore[no-any-return] # a tensor, by what it can do
    if isinstance(value, (list, tuple)):
        for item in value:
            found = _first_tensor(item)
            if found is not None:
                return found
    return None

"""Results that one forward computes several times, from the very same tensors: neighbours, features, a loss."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any, Callable

from ..loop.frames import Frames, Line
from .addresses import storage_of
from .operator_caller import caller_of_operator
from .rebuilt_constants import FACTORIES, LIKE

if TYPE_CHECKING:
    from torch import Tensor

NO_WORK = FACTORIES | LIKE | {"_local_scalar_dense", "clone"}
"""Operators whose repetition is meant: room for results, copies, and numbers that are read."""
MOST_LINES = 8
FINGERPRINT = 64
"""Numbers by which memory is recognised that others than torch may write to."""


class _Site:
    """Line that computes something again."""

    def __init__(self) -> None:
        self.ns = self.bytes = 0
        self.firsts: dict[Line, int] = {}
        """Line that had computed it first → nanoseconds."""


class RepeatedWork:
    """Time in operators that have run before in the same forward, on the same values.

    Values are numbered as compilers do it (Cocke 1969): the result of an operator has the number of its first run with
    operands of these numbers. What is written to has another one from then on, and so has all that is random. Numbers
    are forgotten when a backward, an optimizer's step or a wait for a batch shows that the forward is over.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._sites: dict[Line, _Site] = {}
        self._moment: Hashable = None
        self._forget()

    def _forget(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        """Operator and its operands → number of the result."""
        self._lines: dict[int, Line] = {}
        """Number → line that has computed it."""
        self._by_storage: dict[int, Hashable] = {}
        self._leaves: dict[int, tuple[Callable[[], Any], int]] = {}
        """Identity of a tensor that no operator here has made → reference to it, and its number."""
        self._next = 0

    def saw(
        self,
        func: Any,
        name: str,
        args: Any,
        kwargs: Any,
        inputs: list[Tensor],
        results: list[Tensor],
        spent_ns: int,
        *,
        draws: bool,
        moment: Hashable,
    ) -> None:
        """Note an operator of the forward that has just run; `moment` changes where another forward begins."""
        if moment != self._moment:
            self._moment = moment
            self._forget()
        operands = None if draws else self._operands(args, kwargs)
        forms = tuple((tuple(each.shape), each.dtype, each.device) for each in results)
        key = None if operands is None else (func, operands, forms)
        number = None if key is None else self._numbers.get(key)
        if number is None:
            number = self._new()
            if key is not None:
                self._numbers[key] = number
                if name not in NO_WORK:
                    self._lines[number] = self._frames.line(caller_of_operator(self._frames))
        elif name not in NO_WORK:
            self._again(number, [*inputs, *results], spent_ns)
        for place, each in enumerate(results):
            self._by_storage[storage_of(each)] = (number, place)

    def ended(self) -> None:
        """Note that the forward is over."""
        if self._by_storage:
            self._forget()

    def _again(self, number: int, tensors: list[Tensor], spent_ns: int) -> None:
        caller = caller_of_operator(self._frames)
        line, first = self._frames.line(caller), self._lines[number]
        if line == first and self._frames.library_line(caller):  # a library that repeats itself
            return
        site = self._sites.setdefault(line, _Site())
        site.ns += spent_ns
        site.bytes += sum(each.numel() * each.element_size() for each in tensors)
        site.firsts[first] = site.firsts.get(first, 0) + spent_ns

    def _operands(self, args: Any, kwargs: Any) -> Hashable | None:
        """Return what an operator works on; None if that cannot be told apart."""
        try:
            return tuple(self._known(args)), tuple((name, tuple(self._known([kwargs[name]]))) for name in kwargs)
        except (AttributeError, NotImplementedError, RuntimeError, TypeError):
            return None

    def _known(self, values: Any) -> Iterator[Hashable]:
        for value in values:
            if hasattr(value, "numel"):
                yield self._value(value)
            elif isinstance(value, (list, tuple)):
                yield tuple(self._known(value))
            else:
                hash(value)  # a generator's state, say, cannot be compared
                yield value

    def _value(self, tensor: Tensor) -> Hashable:
        number = self._by_storage.get(storage_of(tensor))
        form = (tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype)
        return (self._leaf(tensor) if number is None else number, *form)

    def _leaf(self, tensor: Tensor) -> Hashable:
        base = tensor if tensor._base is None else tensor._base
        found = self._leaves.get(id(base))
        if found is None or found[0]() is not base:
            found = self._leaves[id(base)] = (weakref.ref(base), self._new())
        # NumPy may write to its own memory, and to that of other processes whoever shares it.
        written = not base.requires_grad and base.device.type == "cpu" and not base.untyped_storage().resizable()
        # Of what the operator has read itself: elsewhere in a file that is mapped into memory, reading takes long.
        return found[1], base._version, _fingerprint(tensor) if written else ()

    def _new(self) -> int:
        self._next += 1
        return self._next

    def report(self, updates: int) -> dict[str, Any]:
        """Return the field of `types.OperatorUse` that this watch knows."""
        ranked = sorted(self._sites.items(), key=lambda each: -each[1].ns)[:MOST_LINES]
        return {
            "repeated": [
                {
                    "file": file,
                    "line": line,
                    "function": function,
                    "first_file": first[0],
                    "first_line": first[1],
                    "seconds_per_update": site.ns / 1e9 / updates,
                    "bytes_per_update": site.bytes // updates,
                }
                for (file, line, function), site in ranked
                for first in [max(site.firsts, key=lambda each: site.firsts[each])]
            ]
        }


def _fingerprint(tensor: Tensor) -> Hashable:
    flat = tensor.detach().reshape(-1)
    return tuple(flat[:: max(1, flat.numel() // FINGERPRINT)].tolist())

"""Reads of a tensor's value, answered with the last value known at the same place instead of waiting for the device.

Only reads that lines of the user's or of a library's make are answered, never torch's own (a scaler's or an optimizer's
decisions). A place is the calling instruction, and the number of its reads within the update: a loop that goes on until
a value is small enough reads more often than before, gets true values again, and ends.
"""

from __future__ import annotations

import ast
import builtins
import functools
import linecache
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

from ..base import modes
from ..base.pass_through import passes_on_to_c
from ..base.patches import Patches
from ..loop.clock import CHECKPOINT, LOADING, StepClock
from ..loop.frames import TORCH, Frames

if TYPE_CHECKING:
    from types import FrameType

NUMBERS = ("item", "__float__", "__int__", "__bool__")
COPIES = ("cpu", "tolist")
_Place = tuple[CodeType, int, CodeType, int, str]
"""Caller's code and instruction, its caller's, and the method."""


class KnownReads:
    """Patches of a tensor's reads, in place while a what-if answers them."""

    def __init__(self, clock: StepClock) -> None:
        self._clock = clock
        self._patches = Patches()
        self._frames: Frames | None = None
        self._known: dict[tuple[_Place, int], Any] = {}
        self._seen: dict[_Place, int] = {}
        """Reads of each place in the present update."""
        self._update = -1
        self._totals: dict[tuple[CodeType, int], bool] = {}
        self.answered = 0
        """Reads that did not wait."""

    def answer(self, on: bool) -> None:
        """Answer reads from now on with values known already, or let all be real again."""
        self._known.clear()
        self._seen.clear()
        if not on:
            self._patches.restore()
            return
        import torch

        self._frames = self._frames or Frames()
        for method in (*NUMBERS, *COPIES):
            self._patches.replace(torch.Tensor, method, functools.partial(self._read, method))
        if not modes.compile_used():  # compiled code that calls print would be compiled again
            self._patches.replace(builtins, "print", self._print)

    def _read(self, method: str, original: Any) -> Any:
        patches, clock = self._patches, self._clock

        @passes_on_to_c
        def call(tensor: Any, *args: object, **kwargs: object) -> Any:
            if not patches.on or args or kwargs or clock.paused or not clock.mine() or not self._may(tensor, method):
                return original(tensor, *args, **kwargs)
            frame = self._caller(sys._getframe(1))
            if frame is None or (_is_whole(tensor) and not self._feeds_total(frame)):
                return original(tensor)
            key = self._key(frame, method)
            known = self._known.get(key)
            if known is not None and known[0] == (tensor.shape, tensor.dtype):
                self.answered += 1
                return _copy(known[1])
            value = original(tensor)
            self._known[key] = ((tensor.shape, tensor.dtype), _copy(value))
            return value

        call.__name__ = call.__qualname__ = method
        call.__doc__ = getattr(original, "__doc__", None)
        return call

    def _may(self, tensor: Any, method: str) -> bool:
        """Return whether this tensor's value may be an old one: not in a loader's work, a save, or a graph."""
        if self._clock.phase in LOADING or self._clock.phase == CHECKPOINT:
            return False
        if method not in COPIES:
            return True
        # A copy may be changed, indexed with, or go on in the graph.
        return not tensor.requires_grad and not _is_whole(tensor) and tensor.device.type != "meta"

    def _print(self, original: Any) -> Any:
        patches, clock = self._patches, self._clock

        @passes_on_to_c
        def call(*args: object, **kwargs: Any) -> None:
            if patches.on and not clock.paused and clock.mine() and any(map(_is_on_device, args)):
                args = tuple(value.detach().cpu() if _is_on_device(value) else value for value in args)  # type: ignore[attr-defined]
            original(*args, **kwargs)

        call.__name__ = call.__qualname__ = "print"
        call.__doc__ = original.__doc__
        return call

    def _caller(self, frame: FrameType | None) -> FrameType | None:
        """Return the frame that wants the value; None if torch or advisor does. Formatting a tensor is its user's."""
        while frame is not None and frame.f_code.co_filename.endswith("_tensor.py"):
            frame = frame.f_back
        if (
            frame is None
            or self._frames is None
            or self._frames.owner(frame.f_code.co_filename) == TORCH
            or self._frames.is_own(frame)
        ):
            return None
        return frame

    def _key(self, frame: FrameType, method: str) -> tuple[_Place, int]:
        outer = frame.f_back if frame.f_back is not None else frame
        place = (frame.f_code, frame.f_lasti, outer.f_code, outer.f_lasti, method)
        if self._update != self._clock.updates:
            self._update = self._clock.updates
            self._seen.clear()
        number = self._seen[place] = self._seen.get(place, 0) + 1
        return place, number

    def _feeds_total(self, frame: FrameType) -> bool:
        """Return whether a whole number goes into a total or a call (`correct += …`, `meter.update(…)`).

        Anything else may decide a shape or an index.
        """
        key = (frame.f_code, frame.f_lineno or 0)
        found = self._totals.get(key)
        if found is None:
            found = self._totals[key] = _is_total(frame.f_code.co_filename, key[1])
        return found


def _is_total(filename: str, line: int) -> bool:
    """Return whether the statement at this line only adds what it reads to something, or hands it to a call."""
    try:
        tree = ast.parse("".join(linecache.getlines(filename)))
    except (SyntaxError, ValueError):
        return False
    inner: ast.stmt | None = None
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            inner = node if inner is None or node.lineno >= inner.lineno else inner
    if isinstance(inner, ast.AugAssign):
        return _is_direct(inner.value)
    if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
        given = [*inner.value.args, *(keyword.value for keyword in inner.value.keywords)]
        return all(_is_direct(value) for value in given)
    return False


def _is_direct(node: ast.expr) -> bool:
    """Return whether every read in this expression is its value or a term of it, and no argument, index or slice."""
    if _is_read(node):
        return True
    if isinstance(node, _TERMS):
        return all(_is_direct(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
    return not any(_is_read(inner) for inner in ast.walk(node))


_TERMS = (ast.BinOp, ast.UnaryOp, ast.Tuple, ast.List, ast.Dict, ast.JoinedStr, ast.FormattedValue)


def _is_read(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("item", "int", "float", "bool")


def _is_whole(tensor: Any) -> bool:
    return not tensor.is_floating_point() and str(tensor.dtype) != "torch.bool"


def _is_on_device(value: Any) -> bool:
    device = getattr(value, "device", None)
    return hasattr(value, "detach") and device is not None and device.type not in ("cpu", "meta")


def _copy(value: Any) -> Any:
    """Return the value so that the script may change it."""
    if hasattr(value, "clone"):
        return value.clone()
    return [_copy(item) for item in value] if isinstance(value, list) else value

"""Attention written out in operators: a product, a softmax over its rows, and a product with the result.

Tensors are told apart by their storage: every result of an operator passes here, so what a storage holds is known.
"""

from __future__ import annotations

import os
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..loop.frames import Frames
from .operator_caller import caller_of_operator

if TYPE_CHECKING:
    from torch import Tensor

PRODUCTS = {"bmm": 0, "baddbmm": 1}
"""Batched products, with the position of their first operand."""
SOFTMAX = "_softmax"
_TORCHS_OWN = (os.path.join("torch", "nn", "functional.py"), "multi_head_attention_forward")
"""The function of `nn.MultiheadAttention`, which writes attention out where its weights are asked for."""

_Key = tuple[int, int, int]
"""Elements, and the last two sizes in order: the backward multiplies with transposed scores."""
_Instruction = tuple[int, int]


class _Site:
    """One line's attention."""

    def __init__(self, key: _Key, rows: int, columns: int, score_bytes: int) -> None:
        self.key = key
        self.rows = rows
        self.columns = columns
        self.score_bytes = score_bytes
        self.calls = 0
        self.dropout = False
        self.weights_used = False
        self.weights: list[weakref.ref[Any]] = []


class _Held(NamedTuple):
    """Contents of a storage: scores, attention weights or their average (with their site), or random numbers."""

    what: str
    numel: int
    by: _Instruction
    site: _Site | None = None


class AttentionWatch:
    """Reader of the operators of traced updates, in their order."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._held: dict[int, _Held] = {}
        self._sites: dict[tuple[str, int, str, str, bool, _Key], _Site] = {}
        self._ns: dict[_Key, int] = {}
        self._bytes: dict[_Key, int] = {}

    def saw(self, name: str, args: Any, result: Tensor, spent_ns: int, *, forward: bool, draws: bool) -> None:
        """Read one operator that has made `result`. `draws`: its values are random."""
        tensors = [value for value in args if hasattr(value, "untyped_storage")]
        sizes: dict[_Key, int] = {}
        for tensor in (*tensors, result):
            if tensor.dim() > 2:
                key = _key(tensor)
                sizes[key] = sizes.get(key, 0) + int(tensor.numel()) * int(tensor.element_size())
        for key, size in sizes.items():
            self._ns[key] = self._ns.get(key, 0) + spent_ns
            self._bytes[key] = self._bytes.get(key, 0) + size
        held = self._next(name, args, tensors, result, draws) if forward else None
        storage = _storage(result)
        if held is not None:
            self._held[storage] = held
        else:
            self._held.pop(storage, None)

    def _next(self, name: str, args: Any, tensors: list[Tensor], result: Tensor, draws: bool) -> _Held | None:
        """Return what the result's storage holds from now on."""
        numel = result.numel()
        if name in PRODUCTS:
            first = self._held.get(_storage(args[PRODUCTS[name]]))
            if first is not None and first.site is not None:
                first.site.calls += 1
                return None
            return _Held("scores", numel, _instruction(caller_of_operator(self._frames)))
        known = [found for tensor in tensors if (found := self._held.get(_storage(tensor))) is not None]
        held = next((found for found in known if found.what != "random"), None)
        if held is None:
            return _Held("random", numel, (0, 0)) if draws else None
        if name == SOFTMAX:
            return self._weights(args, result, held)
        if held.what == "average" or held.numel != numel:
            return self._read_otherwise(held, result)
        if held.site is not None and (draws or any(found.what == "random" for found in known)):
            held.site.dropout = True
        return held

    def _read_otherwise(self, held: _Held, result: Tensor) -> _Held | None:
        """Note a reader of the weights that is not the second product; torch's own average may be thrown away."""
        if held.site is None:
            return None
        if held.what == "weights" and _is_torchs_own(caller_of_operator(self._frames)):
            held.site.weights.append(weakref.ref(result))
            return _Held("average", result.numel(), held.by, held.site)
        held.site.weights_used = True
        return None

    def _weights(self, args: Any, result: Tensor, scores: _Held) -> _Held | None:
        frame = caller_of_operator(self._frames)
        by = _instruction(frame)
        # One call that makes product and softmax itself is torch's own attention, taken apart.
        if scores.what != "scores" or by == scores.by or result.dim() < 3 or args[1] not in (-1, result.dim() - 1):
            return None
        file, line, function = self._frames.line(frame)
        key = _key(result)
        place = (file, line, function, self._frames.library(frame), _is_torchs_own(frame), key)
        site = self._sites.get(place)
        if site is None:
            size = int(result.numel() * result.element_size())
            site = self._sites[place] = _Site(key, int(result.shape[-2]), int(result.shape[-1]), size)
        site.weights.append(weakref.ref(result))
        return _Held("weights", result.numel(), by, site)

    def report(self, updates: int) -> list[dict[str, Any]]:
        """Return the fields of `types.AttentionUse` for every line; call it at the end of an update."""
        calls: dict[_Key, int] = {}
        for site in self._sites.values():
            calls[site.key] = calls.get(site.key, 0) + site.calls
        return [
            {
                "file": file,
                "line": line,
                "function": function,
                "library": library,
                "asked_for_weights": torchs_own,
                "rows": site.rows,
                "columns": site.columns,
                "calls_per_update": site.calls / updates,
                "seconds_per_update": self._ns.get(key, 0) / 1e9 / updates * site.calls / calls[key],
                "bytes_per_update": int(self._bytes.get(key, 0) / updates * site.calls / calls[key]),
                "score_bytes": site.score_bytes,
                "dropout": site.dropout,
                "weights_used": site.weights_used or any(ref() is not None for ref in site.weights),
            }
            for (file, line, function, library, torchs_own, key), site in self._sites.items()
            if site.calls
        ]


def _key(tensor: Tensor) -> _Key:
    rows, columns = int(tensor.shape[-2]), int(tensor.shape[-1])
    return int(tensor.numel()), min(rows, columns), max(rows, columns)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())


def _instruction(frame: FrameType | None) -> _Instruction:
    return (0, 0) if frame is None else (id(frame.f_code), frame.f_lasti)


def _is_torchs_own(frame: FrameType | None) -> bool:
    """Return whether `nn.MultiheadAttention` makes the call, looking past its call of `softmax`."""
    for _ in range(2):
        if frame is None:
            return False
        if (frame.f_code.co_filename.endswith(_TORCHS_OWN[0])) and frame.f_code.co_name == _TORCHS_OWN[1]:
            return True
        frame = frame.f_back
    return False

"""Clones of real batches, for the what-if in which the loop never waits for data."""

from __future__ import annotations

import copy
import functools
import sys
from collections import abc
from typing import TYPE_CHECKING, Any, Callable

from ..base.pass_through import passes_on

if TYPE_CHECKING:
    from torch import Tensor

REMEMBERED_BATCHES = 4
"""Number of batches: enough that caches do not make the replayed loop unrealistic, few enough to hold."""
REMEMBERED_BYTES = 512 * 1024 * 1024
"""Limit beyond which batches are not remembered (one always is): the probe itself must not fill the memory."""


class Replay:
    """Real batches of one loader, delivered repeatedly as clones: loops edit batches in place."""

    def __init__(self) -> None:
        self._batches: list[tuple[Any, int | None]] = []
        self._bytes = 0
        self._turn = 0

    @property
    def full(self) -> bool:
        return len(self._batches) >= REMEMBERED_BATCHES or self._bytes >= REMEMBERED_BYTES

    def remember(self, batch: object, samples: int | None) -> None:
        cloner = Cloner()
        self._batches.append((cloner.clone(batch), samples))
        self._bytes += cloner.cloned_bytes

    def next(self) -> tuple[Any, int | None]:
        """Return a clone and the number of samples it holds."""
        batch, samples = self._batches[self._turn % len(self._batches)]
        self._turn += 1
        return Cloner().clone(batch), samples


class Cloner:
    """Deep cloning of one batch: same containers, own tensors, pinned if they were; shared parts stay shared."""

    def __init__(self) -> None:
        self._tensor = sys.modules["torch"].Tensor
        self._memo: dict[int, Any] = {}
        self.cloned_bytes = 0

    def clone(self, value: Any) -> Any:
        if isinstance(value, self._tensor):
            if id(value) not in self._memo:
                self._memo[id(value)] = self._clone_tensor(value)
            return self._memo[id(value)]
        if value is None or isinstance(value, (str, bytes, int, float, bool)):
            return value
        if type(value) is dict:
            return {key: self.clone(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.clone(item) for item in value)
        try:
            return self._clone_object(value)
        except Exception:  # a user's class may refuse in any way; the script then gets the same object again
            return value

    def _clone_object(self, value: Any) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.clone(item) for item in value))
        if isinstance(value, abc.MutableMapping):
            clone = copy.copy(value)  # keeps attributes that a new object of this type would not have
            for key, item in value.items():
                clone[key] = self.clone(item)
            return clone
        pinned = bool(getattr(value, "is_pinned", None)) and value.is_pinned()
        clone = copy.deepcopy(value, self._memo)
        return clone.pin_memory() if pinned and hasattr(clone, "pin_memory") else clone

    def _clone_tensor(self, tensor: Tensor) -> Any:
        plain = tensor.detach()
        if tensor.device.type == "cpu" and tensor.layout is sys.modules["torch"].strided and tensor.is_pinned():
            clone = plain.clone().pin_memory()
        else:
            clone = plain.clone()
        self.cloned_bytes += clone.numel() * clone.element_size()
        return clone.requires_grad_(True) if tensor.requires_grad else clone


@passes_on
def replayed(
    feed: Any,
    fetch: Callable[[], tuple[Any, Any]],
    count: Callable[[Any, object, object], tuple[int | None, str]],
    excluded: Callable[[Callable[[], Any]], Any],
) -> tuple[Any, Any, int | None]:
    """Return a batch, its index if it was fetched, and its samples; `excluded` runs our own work."""
    replay = feed.record.replay
    if not replay.full:
        batch, index = fetch()
        samples, _ = count(feed, batch, index)
        excluded(functools.partial(replay.remember, batch, samples))
        return batch, index, samples
    feed.replayed = True
    batch, samples = excluded(replay.next)
    return batch, None, samples

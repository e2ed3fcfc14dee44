"""Data that a script evaluates on again and again, without a loader: a tensor of held-out samples, a whole graph.

What a model sees anew in each update is part of the update: rollouts, and labels that it gives itself.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from .samples import leading_dimension

LEAST_UPDATES = 3
"""Updates in which the same values must be seen: the last observation of a rollout begins the next one."""
MOST_TENSORS = 64
"""Tensors that are followed: more are batches, each of them made anew."""


@dataclass
class _Seen:
    tensor: weakref.ref[Any]
    version: int
    """torch's count of changes in place."""
    update: int
    """Update in which it was seen last."""
    updates: int = 1


class HeldOut:
    """Inputs of evaluating calls, by their identity: nothing is read, and nothing is kept alive."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def has(self, args: tuple[object, ...], kwargs: dict[str, object], update: int) -> bool:
        """Return whether this call's first tensor has been evaluated on in several updates; note it for later ones."""
        tensor = leading_dimension(args, kwargs)[1]
        if tensor is None or getattr(tensor, "is_inference", bool)():  # changes of those are not counted
            return False
        version, seen = int(tensor._version), self._seen.get(id(tensor))
        if seen is None or seen.tensor() is not tensor or seen.version != version:
            if seen is None and len(self._seen) >= MOST_TENSORS:
                self._seen = {key: each for key, each in self._seen.items() if each.tensor() is not None}
                if len(self._seen) >= MOST_TENSORS:
                    return False
            self._seen[id(tensor)] = _Seen(weakref.ref(tensor), version, update)
            return False
        if update != seen.update:
            seen.update = update
            seen.updates += 1
        return seen.updates >= LEAST_UPDATES

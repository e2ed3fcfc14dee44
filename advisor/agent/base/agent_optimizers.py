"""Optimizers that the agent makes for itself: nobody else may take them for the script's."""

from __future__ import annotations

import weakref
from typing import Any

_ours: dict[int, weakref.ref[Any]] = {}


def add(optimizer: Any) -> None:
    _ours[id(optimizer)] = weakref.ref(optimizer)


def is_ours(optimizer: Any) -> bool:
    ref = _ours.get(id(optimizer))
    return ref is not None and ref() is optimizer

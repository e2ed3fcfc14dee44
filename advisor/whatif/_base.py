"""Definition of a what-if: one cost of the loop removed for a few windows, to measure the most its fix can gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from ..types import Workload


@dataclass(frozen=True)
class WhatIf:
    """One experiment. `enter` and `leave` run in the script's process, between two updates; `controls` holds the
    agent's handles."""

    id: str
    title: str
    """Name in reports: what is taken away, in words for a person."""
    applies: Callable[[Workload], str | None]
    """Callable that runs in the controller; returns None if the what-if can be tried, else the reason why not."""
    enter: Callable[[Any], None] | None = None
    leave: Callable[[Any], None] | None = None
    drain: Callable[[Any, float, bool], dict[str, Any]] | None = None
    """Callable (controls, seconds, in this process), not enter and leave; runs beside the waiting loop and reports."""
    may_break: bool = False
    """True if the script's code may fail under it, which costs a script run: such what-ifs are run last."""
    per_sample: bool = False
    """True if the update holds more samples than usual: the speed-up is then one of samples, not of updates."""
    settle_updates: int = 3
    """Number of updates not counted after entering, and again after leaving."""

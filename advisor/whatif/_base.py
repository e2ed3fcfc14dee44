"""What a what-if is: one cost of the loop taken away for a few windows, to measure what its fix can give at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from ..types import Workload


@dataclass(frozen=True)
class WhatIf:
    """`enter` and `leave` run in the script's process, between two updates; `bench` holds the agent's handles."""

    id: str
    title: str
    """What is taken away, for a person."""
    applies: Callable[[Workload], str | None]
    """Runs in the controller: None where it can be tried, else the reason why not."""
    enter: Callable[[Any], None] | None = None
    leave: Callable[[Any], None] | None = None
    drain: Callable[[Any, float, bool], dict[str, Any]] | None = None
    """Instead of enter and leave: (bench, seconds, in this process) runs beside the waiting loop and reports."""
    may_break: bool = False
    """The script's code may not bear it, which costs a life: such what-ifs are run last."""
    per_sample: bool = False
    """The update holds more samples than usual: the speed-up is one of samples, not of updates."""
    settle_updates: int = 3
    """Updates that are not counted after it was entered, and again after it was left."""

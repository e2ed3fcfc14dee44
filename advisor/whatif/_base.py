"""Definition of a what-if: one cost of the loop removed for a few windows, to measure the most its fix can gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from ..types import Workload


class Loaders(Protocol):
    def adjust(self, by: str, **settings: Any) -> None: ...
    def batch_size(self) -> int: ...
    def replay(self, on: bool) -> None: ...
    def drain(self, seconds: float, max_batches: int, num_workers: int | None) -> dict[str, Any]: ...


class Steps(Protocol):
    def skip_updates(self, on: bool) -> None: ...


class Reads(Protocol):
    def answer(self, on: bool) -> None: ...


class Untrained(Protocol):
    def hand_out(self, on: bool) -> None: ...
    def stop_gradients(self, on: bool) -> None: ...


class Communication(Protocol):
    def stop_sending(self, on: bool) -> None: ...


class Controls(Protocol):
    """Handles for the running script; the agent's `settings.controls.Controls` is such an object."""

    @property
    def loaders(self) -> Loaders: ...
    @property
    def steps(self) -> Steps: ...
    @property
    def reads(self) -> Reads: ...
    @property
    def communication(self) -> Communication: ...
    def run_eagerly(self, on: bool) -> None: ...
    @property
    def untrained(self) -> Untrained: ...


@dataclass(frozen=True)
class WhatIf:
    """One experiment. `enter` and `leave` run in the script's process, between two updates."""

    id: str
    title: str
    """Name in reports: what is taken away, in words for a person."""
    applies: Callable[[Workload], str | None]
    """Callable that runs in the controller; returns None if the what-if can be tried, else the reason why not."""
    worthwhile: Callable[[Collection[str]], str | None] | None = None
    """Callable that runs in the controller once the script was traced, with the kinds of its calls (`CallSite.what`);
    returns None if the what-if can show anything, else the reason why not. None if the trace does not matter."""
    at_most: Callable[[Workload], str | None] = lambda _workload: None
    """Callable that returns the phase whose share of the loop is all that it can gain; None if no phase bounds it."""
    enter: Callable[[Controls], None] | None = None
    leave: Callable[[Controls], None] | None = None
    drain: Callable[[Controls, float, bool], dict[str, Any]] | None = None
    """Callable (controls, seconds, in this process), not enter and leave; runs beside the waiting loop and reports."""
    may_break: bool = False
    """True if the script's code may fail under it, which costs a script run: such what-ifs are run last."""
    per_sample: bool = False
    """True if the update holds more samples than usual: the speed-up is then one of samples, not of updates."""
    eager: bool = False
    """True if code that the script compiles runs uncompiled under it."""
    frees_ranks: bool = False
    """True if ranks no longer wait for each other under it: then the slowest one's pace is the loop's."""
    settle_updates: int = 1
    """Number of updates not counted after entering, at least: a window may ask for more."""
    pauses_workers: bool = False
    """True if no batch is fetched under it: where the loop waits for data, the queue is fuller than usual after it."""


def on_the_cpu(workload: Workload) -> bool:
    """Return True if nothing runs behind the loop's back, on a device: its phases then say where its time goes."""
    return workload.device == "cpu"


def without_loader(workload: Workload) -> str | None:
    """Return why a what-if of the loader cannot be tried; None if it can."""
    return None if workload.train_loader else "no DataLoader feeds the updates"

"""Workers as tasks of a cluster: as many at a time as the user asks for, replaced where their machine is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ScriptError
from ..progress import SILENT, Progress

MOST_LOST = 3
"""Losses for each worker that are made up for: more are no accident."""
POLL_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Done:
    """A worker that came to its end."""

    here: int
    """Trials that it has run."""
    ended: str
    has_more: bool = False
    """True if it ended after as many trials as it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A worker that ended with an error of its own: another one would do the same."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A worker that ended with its process or its machine."""

    message: str


Outcome = Done | Failed | Lost


class Cluster(Protocol):
    """Machines that run tasks."""

    def start(self) -> Any:
        """Start a worker where there is room, now or later; return its task."""

    def wait(self, tasks: Sequence[Any], timeout_s: float) -> Mapping[Any, Outcome]:
        """Return the outcomes of tasks that have ended, after so many seconds at most."""

    def stop(self, tasks: Sequence[Any]) -> None:
        """End tasks that still run."""


@dataclass(kw_only=True)
class Summary:
    """Work that all tasks together have done."""

    here: int = 0
    ended: str = ""
    workers: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)


def keep_working(cluster: Cluster, count: int, *, progress: Progress = SILENT, poll_s: float = POLL_S) -> Summary:
    """Keep `count` workers running until the search is over; raise ScriptError if all of them fail.

    A worker that is lost is replaced, and so is one that has run as many trials as it was asked for. Trials of lost
    workers are queued again by their leases.
    """
    found, tasks = Summary(), [cluster.start() for _ in range(count)]
    found.workers = count
    progress.stage(f"{count} workers", windows=None)
    try:
        while tasks:
            for task, outcome in cluster.wait(tasks, poll_s).items():
                tasks.remove(task)
                if _goes_on(found, outcome, count, progress.note):
                    tasks.append(cluster.start())
                    found.workers += 1
    finally:
        cluster.stop(tasks)
    if found.failures and not found.here and not found.ended:
        raise ScriptError(f"no worker came to its end: {found.failures[0]}")
    return found


def _goes_on(found: Summary, outcome: Outcome, count: int, note: Callable[[str], None]) -> bool:
    """Add an outcome; return whether another worker takes its place."""
    match outcome:
        case Done():
            found.here += outcome.here
            found.ended = found.ended if outcome.has_more else outcome.ended
            # One that ran nothing would be followed by more of them.
            return outcome.has_more and outcome.here > 0 and not found.ended
        case Failed():
            found.failures.append(outcome.message)
            note(f"a worker failed: {outcome.message}")
            return False
        case Lost():
            found.lost += 1
            replaced = found.lost <= MOST_LOST * count and not found.ended
            note(
                f"a worker was lost ({outcome.message}); {'another one starts' if replaced else 'no more are started'}"
            )
            return replaced

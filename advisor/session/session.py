"""A session: windows in, measurements out, over as many lives as that takes.

The plan is a generator: it yields windows and is sent what they gave, so what comes next can depend on what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import wire
from ..progress import SILENT, Progress
from ..types import Command
from .isolation import Tier
from .life import Life, LifeRecord, Limits

Outcome = wire.WindowDone | wire.WindowRefused
Planner = Generator[list[wire.Window], dict[str, Outcome], None]
"""Yields windows; is sent all outcomes so far, by window id."""
MAX_LIVES = 4
"""A script that ends before its windows do is started again, but each start costs its start-up."""
STOP_GRACE_S = 5.0
"""Between asking the agent to stop and ending the process: an update may have to end first. The budget never cuts the
first window: it is bounded by a number of updates, and by the limit on standing still."""


@dataclass(kw_only=True)
class SessionResult:
    """Everything that came back, in the order it came."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    windows: dict[str, wire.Window] = field(default_factory=dict)
    life_of: dict[str, int] = field(default_factory=dict)
    lives: list[LifeRecord] = field(default_factory=list)
    deadline_hit: bool = False
    changed_files: tuple[str, ...] = ()
    view_notes: tuple[str, ...] = ()


class Session:
    """Runs one planner to its end, or to the deadline."""

    def __init__(
        self,
        *,
        command: Command,
        folder: Path,
        tier: Tier,
        limits: Limits,
        loop_budget_s: float,
        progress: Progress = SILENT,
        trackers_offline: bool = True,
        most_lives: int = MAX_LIVES,
        outlives_failures: bool = False,
    ) -> None:
        """`outlives_failures`: a window that breaks the first life costs that window, not the session."""
        self._most_lives = most_lives
        self._outlives_failures = outlives_failures
        self._command = command
        self._folder = folder
        self._tier = tier
        self._limits = limits
        self._budget_s = loop_budget_s
        self._progress = progress
        self._trackers_offline = trackers_offline
        self.result = SessionResult()
        self._first_update_s: float | None = None

    def run(self, planner: Planner) -> SessionResult:
        """Carry out the plan. What was measured is in the result whatever happens; failures are in its lives."""
        waiting = next(planner, None)
        while waiting is not None and len(self.result.lives) < self._most_lives:
            updates_before = sum(life.updates for life in self.result.lives)
            waiting = self._one_life(planner, waiting)
            life = self.result.lives[-1]
            fatal = life.failure and updates_before == 0 and not self._outlives_failures
            if life.updates == 0 or self.result.deadline_hit or fatal:
                break
            if life.failure is not None and not self.result.outcomes:
                break
        planner.close()
        return self.result

    def left_s(self) -> float:
        """Of the budget, which begins with the first update's end."""
        if self._first_update_s is None:
            return self._budget_s
        return self._budget_s - (time.monotonic() - self._first_update_s)

    # --- one life ---------------------------------------------------------------------------------------------------

    def _one_life(self, planner: Planner, waiting: list[wire.Window]) -> list[wire.Window] | None:
        """Run windows until the plan or the life ends; returns the windows still to be run, or None."""
        life = Life(
            number=len(self.result.lives),
            command=self._command,
            folder=self._folder,
            tier=self._tier,
            limits=self._limits,
            config={},
            trackers_offline=self._trackers_offline,
        )
        with life:
            self.result.lives.append(life.record)
            self._progress.stage(f"starting {self._command.target}")
            batch = _Batch(waiting)
            sent = False
            done = False
            stop_at_s: float | None = None
            for message in life.messages():
                if isinstance(message, wire.Hello) and not sent:
                    life.send_plan(waiting, final=False)
                    self._remember(waiting)
                    sent = True
                if life.record.updates and self._first_update_s is None:
                    self._first_update_s = time.monotonic()
                    self._progress.stage("measuring", windows=len(waiting))
                if isinstance(message, wire.WindowDone | wire.WindowRefused):
                    self.result.outcomes[message.id] = message
                    self.result.life_of[message.id] = life.record.number
                    batch.take(message)
                    self._progress.window_done()
                if batch.complete and not done:
                    following = _next_windows(planner, self.result.outcomes)
                    if following is None:
                        done = True
                        life.send_plan([], final=True)
                    else:
                        batch = _Batch(following)
                        self._remember(following)
                        life.send_plan(following, final=False)
                if not done and stop_at_s is None and self.left_s() <= 0 and self.result.outcomes:
                    self.result.deadline_hit = True
                    stop_at_s = time.monotonic() + STOP_GRACE_S
                    life.stop()
                if stop_at_s is not None and time.monotonic() > stop_at_s:
                    life.end(0.0)
                    break
            self._keep_view(life)
        if done or self.result.deadline_hit:
            return None
        return self._after_early_end(life, batch) or _next_windows(planner, self.result.outcomes)

    def _after_early_end(self, life: Life, batch: _Batch) -> list[wire.Window] | None:
        """The life ended before the plan: the window it died in is charged with it, the rest waits for a next life."""
        rest = batch.missing()
        failure = life.record.failure
        goodbye = life.record.goodbye
        stumbled = goodbye is not None and goodbye.reason not in ("finished", "crashed")
        if (failure is not None or stumbled) and rest:
            kind, message = (
                (failure.kind, failure.message) if failure else ("refused", "advisor itself stumbled over it")
            )
            blamed = wire.WindowRefused(0, rest[0].id, kind, message)
            self.result.outcomes[blamed.id] = blamed
            self.result.life_of[blamed.id] = life.record.number
            rest = rest[1:]
        return rest or None

    def _remember(self, windows: Sequence[wire.Window]) -> None:
        self.result.windows.update({window.id: window for window in windows})

    def _keep_view(self, life: Life) -> None:
        if life.view is not None:
            self.result.changed_files += life.view.changed_files
            self.result.view_notes = tuple(dict.fromkeys((*self.result.view_notes, *life.view.notes)))


class _Batch:
    """The windows that were sent together, and what came back of them."""

    def __init__(self, windows: Sequence[wire.Window]) -> None:
        self._windows = list(windows)
        self._known: set[str] = set()

    def take(self, outcome: Outcome) -> None:
        self._known.add(outcome.id)

    @property
    def complete(self) -> bool:
        return not self.missing()

    def missing(self) -> list[wire.Window]:
        return [window for window in self._windows if window.id not in self._known]


def _next_windows(planner: Planner, outcomes: dict[str, Outcome]) -> list[wire.Window] | None:
    try:
        return planner.send(outcomes)
    except StopIteration:
        return None

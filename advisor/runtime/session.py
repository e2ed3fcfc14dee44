"""Session: windows in, measurements out, over as many script runs as that takes.

The plan is a generator: it yields windows and is sent their results, so that later windows can depend on earlier ones.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import knobs, wire
from ..errors import INTERRUPTIONS
from ..script_constants import ByModule
from ..types import Command, Config, SettingValue
from .blame import Blame
from .device_watch import DeviceWatch
from .isolation import Isolation
from .run_options import RunOptions
from .script_run import ScriptRun
from .session_result import Outcome, SessionResult


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Start conditions of a script run; empty for the baseline."""

    settings: Config = field(default_factory=Config)
    """Settings for the whole script run; its windows name them too, and only the others are switched in it."""
    args: tuple[str, ...] | None = None
    """Arguments in place of the script's own, if it takes some of these settings by its arguments."""
    constants: ByModule = field(default_factory=dict)
    """Constants of the script that are set before it runs."""
    by_script: frozenset[str] = frozenset()
    """Knobs that its arguments and constants stand for; the agent leaves these alone."""

    @property
    def by_agent(self) -> dict[str, SettingValue]:
        """Return the settings that the agent applies."""
        return {name: value for name, value in self.settings.settings if name not in self.by_script}


BASELINE_SETUP = Setup()


@dataclass(frozen=True, kw_only=True)
class InScriptRun:
    """Windows that need a script run with this setup; a script run with another setup is ended for them."""

    windows: list[wire.Window]
    setup: Setup = BASELINE_SETUP
    anew: bool = False
    """True to restart even a script run with this setup, because its training is of no more use."""


Planner = Generator[list[wire.Window] | InScriptRun, dict[str, Outcome], None]
"""Generator of windows, which run in the present kind of script run unless it names another.

It is sent all outcomes so far, by window id. An empty list means that it has none yet: the script waits at the end of
an update, and the generator is asked again a moment later.
"""
MAX_SCRIPT_RUNS = 4
"""Limit on script runs: a script that ends before its windows is restarted, but each start costs its start-up."""
STOP_GRACE_S = 5.0
"""Seconds between the end of the present update, after which the agent stops, and ending the process."""
FAST_UPDATES = 13
"""Updates that a budget must hold for it not to cut the first window, which has then counted ten of them."""
LEAST_FIRST_S = 5.0
"""Seconds that the first window of fast updates may take, whatever the budget: a rate takes about five."""
LEAST_PATIENCE_S = 30.0
"""Seconds always allowed without progress: a checkpoint, or restarting sixteen workers, may take as long."""
PATIENCE_UPDATES = 200
KEEP_ALIVE_S = 30.0
"""Seconds between two signs of life to a script that waits; the agent would give up after two minutes of silence."""
LAST_REPORT_S = 2.0
"""Seconds after Ctrl-C for the present update to end and be reported; the user is waiting."""


@dataclass(kw_only=True)
class Session:
    """Session that runs one planner to its end, or to the deadline."""

    command: Command
    folder: Path
    isolation: Isolation
    options: RunOptions
    loop_budget_s: float
    max_script_runs: int = MAX_SCRIPT_RUNS
    cuts_first_window: bool = True
    """False lets the first window have its updates, however long they take: nobody has set the budget."""
    watch_devices: bool = False
    outlives_failures: bool = False
    """A window that breaks the first script run costs that window, not the session."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set for the script in addition to advisor's own."""
    seed: int | None = None
    """Processes with the same seed draw alike."""
    result: SessionResult = field(default_factory=SessionResult, init=False)
    more_s: Callable[[], float] = field(default_factory=lambda: _nothing_more, init=False)
    """Called when the time is up: adds to the budget what can be had, and returns it (seconds)."""
    _first_update_s: float | None = field(default=None, init=False)
    _update_s: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._blame = Blame(self.result, outlives_failures=self.outlives_failures)

    def run(self, planner: Planner) -> SessionResult:
        """Carry out the plan. The result holds all measurements whatever happens; failures are in its script runs.

        Ctrl-C and SIGTERM end the plan, too, and are stored in `result.interrupted`. Before the first script run they
        are re-raised as they came.
        """
        for _moment in self.moments(planner):
            pass
        return self.result

    def moments(self, planner: Planner) -> Generator[None, None, None]:
        """Carry out the plan as `run` does, but yield several times a second, so that sessions can run side by side.

        Closing the iterator ends the script.
        """
        try:
            yield from self._run(planner)
        except INTERRUPTIONS as interruption:
            if not self.result.script_runs:
                raise
            self.result.interrupted = interruption
        planner.close()

    def _run(self, planner: Planner) -> Iterator[None]:
        waiting = _in_script_run(next(planner, None), BASELINE_SETUP)
        while waiting is not None and len(self.result.script_runs) < self.max_script_runs:
            updates_before = sum(script_run.updates for script_run in self.result.script_runs)
            outcomes_before = len(self.result.outcomes)
            is_baseline = waiting.setup == BASELINE_SETUP
            waiting = yield from self._one_script_run(planner, waiting)
            script_run = self.result.script_runs[-1]
            if self.result.deadline_hit or (script_run.updates == 0 and is_baseline):
                break
            if not self._blame.is_the_scripts(script_run):
                continue
            fails_anyway = updates_before == 0 or self._blame.checked
            if script_run.failure and fails_anyway and not self.outlives_failures:
                break
            if len(self.result.outcomes) == outcomes_before:
                break  # the next start would bring as little

    def left_s(self) -> float:
        """Return the seconds left of the budget, which starts at the end of the first update."""
        if self._first_update_s is None:
            return self.loop_budget_s
        return self.loop_budget_s - (time.monotonic() - self._first_update_s)

    def expect(self, update_s: float) -> None:
        """Set the known length of an update; a script without progress for many times as long counts as hung."""
        self._update_s = update_s

    def allow(self, seconds: float) -> None:
        """Set the budget to so many seconds from now."""
        self.loop_budget_s += seconds - self.left_s()

    def reserve(self, seconds: float) -> None:
        """Reserve so much of the budget for what comes after this session."""
        self.loop_budget_s -= seconds

    # --- one script run ---------------------------------------------------------------------------------------------

    def _one_script_run(self, planner: Planner, waiting: InScriptRun) -> Generator[None, None, InScriptRun | None]:
        """Run windows until the plan or the script run ends; return the windows still to be run, or None."""
        setup = waiting.setup
        script_run = ScriptRun(
            number=len(self.result.script_runs),
            command=self.command if setup.args is None else replace(self.command, args=setup.args),
            folder=self.folder,
            isolation=self.isolation,
            options=self.options,
            config=setup.by_agent,
            constants=setup.constants,
            devices=DeviceWatch() if self.watch_devices else None,
            environment={**self.environment, **knobs.environment(setup.settings.as_dict(), os.environ)},
            seed=self.seed,
        )
        talk = _Talk(batch=_Batch(waiting.windows), setup=setup)
        self.result.windows.update({window.id: window for window in waiting.windows})  # a launcher may never greet
        try:
            with script_run:
                self.result.script_runs.append(script_run.record)
                self.options.progress.stage(f"starting {self.command.title}")
                try:
                    yield from self._talk(script_run, planner, talk)
                except INTERRUPTIONS:
                    self._last_report(script_run)
                    raise
        finally:
            self._keep_view(script_run)
        counted = self._blame.keep_counted(script_run.record, talk.batch.missing())
        if counted is not None:
            self._take(counted, script_run, talk)
        self._blame.process_ended(script_run.record)
        if self.result.deadline_hit and script_run.record.failure is None:
            return None  # windows that had no time say nothing about their settings
        batch = talk.batch
        rest = self._blame.go_on(
            script_run.record, batch.missing(), sent=len(batch.windows), is_baseline=setup == BASELINE_SETUP
        )
        if self.result.deadline_hit:
            return None
        if rest:
            return InScriptRun(windows=rest, setup=setup)
        if talk.done:
            return None
        return talk.moving or _next_windows(planner, self.result.outcomes, setup)

    def _talk(self, script_run: ScriptRun, planner: Planner, talk: _Talk) -> Iterator[None]:
        """Send windows and take their reports, until the script run has ended; yield after every message."""
        for message in script_run.messages():
            if isinstance(message, wire.Hello) and not talk.sent:
                self._send(script_run, talk.batch.windows, talk.setup)
                talk.sent = True
            if script_run.record.updates and self._first_update_s is None:
                self._first_update_s = time.monotonic()
                self.options.progress.stage("measuring", windows=len(talk.batch.windows))
            self._take(message, script_run, talk)
            if talk.batch.complete and not talk.done and talk.moving is None:
                self._go_on(script_run, planner, talk)
            if not talk.done and talk.stop_at_s is None and self._is_over(script_run):
                self.result.deadline_hit = True
                talk.stop_at_s = time.monotonic() + STOP_GRACE_S
                talk.updates_at_stop = script_run.record.updates
                script_run.stop("time ran out")
            if not self.result.outcomes and script_run.record.updates == talk.updates_at_stop:
                talk.stop_at_s = time.monotonic() + STOP_GRACE_S  # nothing is known before this update has ended
            if talk.stop_at_s is not None and time.monotonic() > talk.stop_at_s:
                script_run.end(0.0)
                return
            yield

    def _is_over(self, script_run: ScriptRun) -> bool:
        """Return whether the time is up, and this window has to end with the present update."""
        if self.left_s() > 0 or self._first_update_s is None:
            return False
        if self.result.outcomes:
            return self.more_s() <= 0
        is_slow = script_run.record.updates < FAST_UPDATES
        return self.cuts_first_window and (is_slow or self.left_s() < min(0.0, self.loop_budget_s - LEAST_FIRST_S))

    def _patience_s(self, windows: Sequence[wire.Window], script_run: ScriptRun) -> float:
        """Return how long a lack of progress is tolerated.

        A setting that hangs must not take the time of all the others; the first windows may take the usual time.
        """
        usual_s = self.options.limits.no_progress_s
        slow = any(knobs.get(name).set_up_s > 0 for window in windows for name in window.config)
        if self._update_s is None or slow or not script_run.record.updates:
            return usual_s
        return min(usual_s, max(LEAST_PATIENCE_S, PATIENCE_UPDATES * self._update_s))

    def _go_on(self, script_run: ScriptRun, planner: Planner, talk: _Talk) -> None:
        """Send the next windows to this script run or, once it has ended, to the next."""
        begin_s = time.monotonic()
        following = _next_windows(planner, self.result.outcomes, talk.setup)
        if following is not None and not following.windows:
            self._hold(script_run, talk)
            return
        if talk.held_at_s is not None:
            script_run.watch_from_now()  # whatever ran beside it until now did not disturb its windows
            talk.held_at_s = None
        if following is None:
            talk.done = True
            script_run.send_plan([], final=True)
        elif following.anew or following.setup != talk.setup:
            talk.moving = following
            script_run.send_plan([], final=True)
        else:
            talk.batch = _Batch(following.windows)
            self._send(script_run, following.windows, talk.setup)
        self.result.between_s.append(time.monotonic() - begin_s)

    def _hold(self, script_run: ScriptRun, talk: _Talk) -> None:
        """Let the script wait where it is; neither side takes that for a hang."""
        now_s = time.monotonic()
        script_run.wait_at_most(self.options.limits.no_progress_s)
        if talk.held_at_s is None:
            talk.held_at_s = now_s
        elif now_s - talk.held_at_s >= KEEP_ALIVE_S:
            talk.held_at_s = now_s
            script_run.send_plan([], final=False)

    def _send(self, script_run: ScriptRun, windows: Sequence[wire.Window], setup: Setup) -> None:
        given = dict(setup.settings.settings)
        switched = [
            replace(
                self._blame.window_for(window),
                config={name: value for name, value in window.config.items() if name not in given},
            )
            for window in windows
        ]
        script_run.send_plan(switched, final=False)
        script_run.wait_at_most(self._patience_s(windows, script_run))
        self.result.windows.update({window.id: window for window in windows})

    def _take(self, message: object, script_run: ScriptRun, talk: _Talk | None = None) -> None:
        if isinstance(message, wire.WindowDone | wire.WindowRefused):
            self.result.outcomes[message.id] = message
            self.result.script_run_of[message.id] = script_run.record.number
            self.result.arrived_s[message.id] = time.monotonic()
            if talk is not None:
                talk.batch.take(message)
            self._blame.saw(message)
            self.options.progress.window_done()
        elif isinstance(message, wire.Note) and message.kind == wire.REMARK:
            self.options.progress.note(message.text)
        elif isinstance(message, wire.Note) and message.kind == "network":
            # Reported at once: isolation protects files, but does not undo network traffic.
            self.options.progress.note(
                f"the script connects to {message.text}: isolation cannot undo what it sends there"
            )

    def _last_report(self, script_run: ScriptRun) -> None:
        """Take a last report after an interruption: the present window, as far as it came."""
        script_run.stop("it was interrupted")
        for message in script_run.messages(time.monotonic() + LAST_REPORT_S):
            self._take(message, script_run)

    def _keep_view(self, script_run: ScriptRun) -> None:
        if script_run.view is not None:
            # Each script run saw its own changes: "created x" by the first is not "modified x" by the second.
            known = {words.partition(" ")[2] for words in self.result.changed_files}
            new = tuple(words for words in script_run.view.changed_files if words.partition(" ")[2] not in known)
            self.result.changed_files += new
            self.result.view_notes = tuple(dict.fromkeys((*self.result.view_notes, *script_run.view.notes)))


class _Batch:
    """Windows that were sent together, and which of them were reported."""

    def __init__(self, windows: Sequence[wire.Window]) -> None:
        self.windows = list(windows)
        self._known: set[str] = set()

    def take(self, outcome: Outcome) -> None:
        self._known.add(outcome.id)

    @property
    def complete(self) -> bool:
        return not self.missing()

    def missing(self) -> list[wire.Window]:
        return [window for window in self.windows if window.id not in self._known]


@dataclass(kw_only=True)
class _Talk:
    """State of the exchange with one script run."""

    batch: _Batch
    setup: Setup
    sent: bool = False
    moving: InScriptRun | None = None
    """Windows that need another kind of script run than this one."""
    done: bool = False
    stop_at_s: float | None = None
    updates_at_stop: int | None = None
    held_at_s: float | None = None
    """Time of the last sign of life to a script that waits for its next windows; None if it does not wait."""


def _nothing_more() -> float:
    return 0.0


def _next_windows(planner: Planner, outcomes: dict[str, Outcome], setup: Setup) -> InScriptRun | None:
    try:
        return _in_script_run(planner.send(outcomes), setup)
    except StopIteration:
        return None


def _in_script_run(windows: list[wire.Window] | InScriptRun | None, setup: Setup) -> InScriptRun | None:
    return InScriptRun(windows=windows, setup=setup) if isinstance(windows, list) else windows

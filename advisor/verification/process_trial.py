"""Fresh processes of several versions of a script, one at a time, each over the same updates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import wire
from ..analysis import summary
from ..errors import NothingMeasuredError, ScriptError
from ..runtime.run_options import RunOptions
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session import InScriptRun, Session
from ..runtime.session_result import SessionResult
from ..types import Cpu
from ..types.comparison import Side, VersionRun
from . import round_log
from .process import Process, ScriptVersion
from .windows import WINDOW, begin_window, first_window, one_window, same_window

LEAST_UPDATES = 5
"""Updates that a process must count; fewer say nothing about speed."""


@dataclass(kw_only=True)
class ProcessTrials:
    """Runner of the processes; the first one decides which updates all of them count."""

    folder: Path
    options: RunOptions
    with_settings: bool = False
    """Some contenders have settings. These need a few baseline updates first, so all contenders begin with those."""
    cpu: Cpu | None = None
    """The machine's; a process is disturbed if other programs take its time. None if that is not checked."""
    watch_devices: bool = False
    gain: float | None = None
    """Expected speed-up, by which the first process sizes the window; None if nothing is known."""
    updates: int | None = None
    """Updates that the next processes count, if not those of the first."""
    digest_of: Callable[[ScriptVersion], str | None] = lambda _version: None
    """Function that returns the digest under which later verifications find a version's processes."""
    notes: list[str] = field(default_factory=list, init=False)
    changed_files: list[str] = field(default_factory=list, init=False)
    processes: int = field(default=0, init=False)
    _started: int = field(default=0, init=False)
    _first: wire.WindowDone | None = field(default=None, init=False)

    def measure(self, version: ScriptVersion, *, seed: int | None = None) -> Process:
        """Run one fresh process.

        Raises ScriptError if it fails and NothingMeasuredError if it trains too little; both name the version.
        An interruption is re-raised as it came.
        """
        windows = [self.window(version)]
        if self.with_settings:
            windows.insert(0, begin_window())
        result = self.session(version, seed).run(one_window(InScriptRun(windows=windows, setup=version.setup)))
        return self.taken(version, result, seed)

    def session(self, version: ScriptVersion, seed: int | None) -> Session:
        """Return a session for a fresh process of this version, in a folder of its own."""
        self._started += 1
        folder = self.folder / f"{self._started:02}-{version.side}"
        folder.mkdir(mode=0o700)
        return Session(
            command=version.command,
            folder=folder,
            isolation=version.isolation,
            options=self.options,
            loop_budget_s=math.inf,
            max_script_runs=1,
            watch_devices=self.watch_devices,
            environment=version.environment,
            seed=seed,
        )

    def window(self, version: ScriptVersion) -> wire.Window:
        """Return the window that a process of this version counts."""
        if self._first is None:
            window = first_window(self.gain)
        else:
            window = same_window(self._first, version.samples_per_update, updates=self.updates)
        return replace(window, config=version.config.as_dict())

    def taken(self, version: ScriptVersion, result: SessionResult, seed: int | None) -> Process:
        """Take the result of an ended process; raises what `measure` raises."""
        self.changed_files += result.changed_files
        self.notes += [
            f"the script connects to {note.text}: isolation cannot undo what it sends there"
            for script_run in result.script_runs
            for note in script_run.notes
            if note.kind == "network"
        ]
        if result.interrupted is not None:
            raise result.interrupted
        script_run, done = result.script_runs[-1], result.outcomes.get(WINDOW)
        if not isinstance(done, wire.WindowDone) or script_run.failure is not None:
            raise _failed(version.name, script_run, done)
        if len(done.wall_s) < LEAST_UPDATES:
            raise NothingMeasuredError(
                f"{version.name} made {len(done.wall_s)} updates after warm-up, and {LEAST_UPDATES} are needed: let "
                "the script train longer"
            )
        self.processes += 1
        self._first = self._first or done
        disturbed = self.cpu is not None and summary.is_disturbed(script_run, self.cpu)
        run = _counted(version.side, done, disturbed)
        process = Process.of(run, done, script_run)
        self._keep(version, process, seed)
        return process

    def _keep(self, version: ScriptVersion, process: Process, seed: int | None) -> None:
        round_log.keep(self.folder, version, process, seed, self.digest_of(version))
        by_samples = process.run.samples is not None
        unit, rate = "samples" if by_samples else "updates", process.run.rate(by_samples)
        self.options.progress.note(f"process {self.processes}, {version.name}: {rate:.3g} {unit}/s")


def _counted(side: Side, done: wire.WindowDone, disturbed: bool) -> VersionRun:
    known = [count for count in done.samples if count is not None]
    return VersionRun(
        side=side,
        updates=len(done.wall_s),
        seconds=sum(done.wall_s),
        samples=sum(known) if len(known) == len(done.wall_s) else None,
        disturbed=disturbed,
    )


def _failed(name: str, script_run: ScriptRunRecord, outcome: object) -> ScriptError | NothingMeasuredError:
    if script_run.failure is not None:
        failure = script_run.failure
        return ScriptError(f"{name} failed: {failure.message}", stderr_tail=failure.stderr_tail, kind=failure.kind)
    if isinstance(outcome, wire.WindowRefused):
        return ScriptError(f"{name} failed: {outcome.message}", kind=outcome.kind)
    return NothingMeasuredError(
        f"{name} ended after {script_run.updates} updates (exit code {script_run.exit_code}): too few to measure"
    )

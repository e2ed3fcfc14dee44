"""Fresh processes of several versions of a script, one at a time, each over the same updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import wire
from ..analysis import summary
from ..errors import NothingMeasuredError, ScriptError
from ..runtime.isolation import Isolation
from ..runtime.run_options import RunOptions
from ..runtime.script_run import ScriptRunRecord
from ..runtime.session import BASELINE_SETUP, InScriptRun, Session, Setup
from ..runtime.session_result import SessionResult
from ..storage import run_store
from ..types import Command, Config
from ..types.comparison import Side, VersionRun
from .rounds import WINDOW, begin_window, first_window, one_window, same_window

LEAST_UPDATES = 5
"""Updates that a process must count; fewer say nothing about speed."""
PROCESSES_FILE = "rounds.jsonl"


@dataclass(frozen=True, kw_only=True)
class ScriptVersion:
    """One version of the script, and how it is run."""

    name: str
    """Name in messages: "the version before"."""
    side: Side
    command: Command
    isolation: Isolation
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    setup: Setup = BASELINE_SETUP
    """Part of `config` that its process starts with; the rest is set after the first updates."""
    samples_per_update: int | None = None
    """Samples per update, if they differ from the others': fewer updates then cover as many samples."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """Fresh process that ran to the end of its window."""

    run: VersionRun
    window: wire.WindowDone
    script_run: ScriptRunRecord


@dataclass(kw_only=True)
class ProcessTrials:
    """Runner of the processes; the first one decides which updates all of them count."""

    folder: Path
    options: RunOptions
    with_settings: bool = False
    """Some contenders have settings. These need a few baseline updates first, so all contenders begin with those."""
    usable_cpus: float = math.inf
    """A process is disturbed if other programs keep a good part of them busy."""
    notes: list[str] = field(default_factory=list, init=False)
    changed_files: list[str] = field(default_factory=list, init=False)
    processes: int = field(default=0, init=False)
    _first: wire.WindowDone | None = field(default=None, init=False)

    def measure(self, version: ScriptVersion, *, seed: int | None = None) -> Process:
        """Run one fresh process.

        Raises ScriptError if it fails and NothingMeasuredError if it trains too little; both name the version.
        An interruption is re-raised as it came.
        """
        self.processes += 1
        result = self._run(version, seed)
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
        self._first = self._first or done
        run = _counted(version.side, done, summary.is_disturbed(script_run, self.usable_cpus))
        self._keep(version, run, seed)
        return Process(run=run, window=done, script_run=script_run)

    def _run(self, version: ScriptVersion, seed: int | None) -> SessionResult:
        folder = self.folder / f"{self.processes:02}-{version.side}"
        folder.mkdir(mode=0o700)
        session = Session(
            command=version.command,
            folder=folder,
            isolation=version.isolation,
            options=self.options,
            loop_budget_s=math.inf,
            max_script_runs=1,
            environment=version.environment,
            seed=seed,
        )
        window = first_window() if self._first is None else same_window(self._first, version.samples_per_update)
        window = replace(window, config=version.config.as_dict())
        plan = InScriptRun(windows=[begin_window(), window] if self.with_settings else [window], setup=version.setup)
        return session.run(one_window(plan))

    def _keep(self, version: ScriptVersion, run: VersionRun, seed: int | None) -> None:
        record: dict[str, object] = {
            "side": run.side,
            "updates": run.updates,
            "seconds": run.seconds,
            "samples": run.samples,
        }
        if version.config.settings:
            record["config"] = version.config.as_dict()
        run_store.append_record(self.folder / PROCESSES_FILE, {**record, "seed": seed})
        unit = "updates" if run.samples is None else "samples"
        rate = run.rate(run.samples is not None)
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

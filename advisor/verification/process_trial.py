"""Fresh processes of several versions of a script, one at a time, each over the same updates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .. import wire
from ..analysis import summary
from ..errors import NothingMeasuredError, ScriptError
from ..progress import SILENT, Progress
from ..runtime.isolation import Tier
from ..runtime.script_run import Limits, ScriptRunRecord
from ..runtime.session import AS_WRITTEN, InScriptRun, Session, Setup
from ..runtime.session_result import SessionResult
from ..storage import run_store
from ..types import Command, Config
from ..types.comparison import Side, VersionRun
from .rounds import WINDOW, begin_window, first_window, one_window, same_window

LEAST_UPDATES = 5
"""Updates that a process must count; fewer say nothing about speed."""
PROCESSES_FILE = "rounds.jsonl"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One version of the script, and how it is run."""

    name: str
    """Name in messages: "the version before"."""
    side: Side
    command: Command
    tier: Tier
    environment: Mapping[str, str] = field(default_factory=dict)
    config: Config = field(default_factory=Config)
    setup: Setup = AS_WRITTEN
    """Part of `config` that its process starts with; the rest is set after the first updates."""
    samples_per_update: int | None = None
    """Samples per update, if they differ from the others': fewer updates then cover as many samples."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """Fresh process that ran to the end of its window."""

    run: VersionRun
    window: wire.WindowDone
    life: ScriptRunRecord


class Race:
    """Runner of the processes; the first one decides which updates all of them count."""

    def __init__(
        self,
        *,
        folder: Path,
        limits: Limits,
        trackers_offline: bool = True,
        progress: Progress = SILENT,
        with_settings: bool = False,
        usable_cpus: float = math.inf,
    ) -> None:
        """Set up a verification that writes below `folder`.

        `with_settings` says that some contenders have settings. Settings need a few baseline updates first, so all
        contenders begin with those. A process is disturbed if other programs keep a good part of the `usable_cpus`
        busy.
        """
        self.notes: list[str] = []
        self.changed_files: list[str] = []
        self.processes = 0
        self._folder = folder
        self._limits = limits
        self._trackers_offline = trackers_offline
        self._progress = progress
        self._begin = [begin_window()] if with_settings else []
        self._first: wire.WindowDone | None = None
        self._usable_cpus = usable_cpus

    def measure(self, contender: Contender, *, seed: int | None = None) -> Process:
        """Run one fresh process.

        Raises ScriptError if it fails and NothingMeasuredError if it trains too little; both name the contender.
        An interruption is re-raised as it came.
        """
        self.processes += 1
        result = self._run(contender, seed)
        self.changed_files += result.changed_files
        self.notes += [_network(note.text) for life in result.lives for note in life.notes if note.kind == "network"]
        if result.interrupted is not None:
            raise result.interrupted
        life, done = result.lives[-1], result.outcomes.get(WINDOW)
        if not isinstance(done, wire.WindowDone) or life.failure is not None:
            raise _failed(contender.name, life, done)
        if len(done.wall_s) < LEAST_UPDATES:
            raise NothingMeasuredError(
                f"{contender.name} made {len(done.wall_s)} updates after warm-up, and {LEAST_UPDATES} are needed: let "
                "the script train longer"
            )
        self._first = self._first or done
        run = _counted(contender.side, done, summary.is_disturbed(life, self._usable_cpus))
        self._keep(contender, run, seed)
        return Process(run=run, window=done, life=life)

    def _run(self, contender: Contender, seed: int | None) -> SessionResult:
        folder = self._folder / f"{self.processes:02}-{contender.side}"
        folder.mkdir(mode=0o700)
        session = Session(
            command=contender.command,
            folder=folder,
            tier=contender.tier,
            limits=self._limits,
            loop_budget_s=float("inf"),
            progress=self._progress,
            trackers_offline=self._trackers_offline,
            most_lives=1,
            environment=contender.environment,
            seed=seed,
        )
        window = first_window() if self._first is None else same_window(self._first, contender.samples_per_update)
        window = replace(window, config=contender.config.as_dict())
        plan = InScriptRun(windows=[*self._begin, window], setup=contender.setup)
        return session.run(one_window(plan))

    def _keep(self, contender: Contender, run: VersionRun, seed: int | None) -> None:
        record: dict[str, object] = {
            "side": run.side,
            "updates": run.updates,
            "seconds": run.seconds,
            "samples": run.samples,
        }
        if contender.config.settings:
            record["config"] = contender.config.as_dict()
        run_store.append_record(self._folder / PROCESSES_FILE, {**record, "seed": seed})
        unit = "updates" if run.samples is None else "samples"
        rate = run.rate(run.samples is not None)
        self._progress.note(f"process {self.processes}, {contender.name}: {rate:.3g} {unit}/s")


def _network(place: str) -> str:
    return f"the script connects to {place}: isolation cannot undo what it sends there"


def _counted(side: Side, done: wire.WindowDone, disturbed: bool) -> VersionRun:
    known = [count for count in done.samples if count is not None]
    return VersionRun(
        side=side,
        updates=len(done.wall_s),
        seconds=sum(done.wall_s),
        samples=sum(known) if len(known) == len(done.wall_s) else None,
        disturbed=disturbed,
    )


def _failed(name: str, life: ScriptRunRecord, outcome: object) -> ScriptError | NothingMeasuredError:
    if life.failure is not None:
        failure = life.failure
        return ScriptError(f"{name} failed: {failure.message}", stderr_tail=failure.stderr_tail, kind=failure.kind)
    if isinstance(outcome, wire.WindowRefused):
        return ScriptError(f"{name} failed: {outcome.message}", kind=outcome.kind)
    return NothingMeasuredError(
        f"{name} ended after {life.updates} updates (exit code {life.exit_code}): too few to measure"
    )

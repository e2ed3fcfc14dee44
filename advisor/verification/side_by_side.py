"""Processes of one round that start together, wait after their first updates, and are measured one after another.

Start-up is paid once a round. A process that waits is blocked between two updates and computes nothing; batches that
its loader fetched meanwhile are not counted. Processes that disturb each other are run one after another instead.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

from .. import wire
from ..errors import NothingMeasuredError, ScriptError
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session import InScriptRun, Planner, Session
from .footprint import UNSEEN, Footprint, Room, free_room, misfit
from .process import Process, ScriptVersion
from .process_trial import ProcessTrials
from .windows import begin_window

MOST_TOGETHER = 4
"""Largest number of processes that start together."""
RESTING_CPUS = 0.05
"""Busy CPUs below which a waiting process computes nothing that others would notice."""
RESTING_SAMPLES = 2
"""Samples in a row, a quarter of a second each, that must show it; threads may spin for a fifth of one."""
REST_AT_MOST_S = 10.0
"""Seconds for loader workers to fill their queues and for threads to stop spinning."""
START_FACTOR = 4.0
"""Multiple of the known start-up time of all after which a process counts as blocked, by a lock for example."""
LEAST_START_S = 30.0
LEAST_FREE_BYTES = 2**29
"""Free memory below which a start is broken off."""
ITS_OWN = ("refused", "nan")
"""Failures that other processes cannot have caused."""


@dataclass(kw_only=True)
class _Turn:
    """Plan of one process: its first updates, and its window once that is given."""

    begin: InScriptRun
    waits: bool = False
    window: wire.Window | None = None

    def plan(self) -> Planner:
        yield self.begin
        while self.window is None:
            self.waits = True
            yield []
        self.waits = False
        yield [self.window]


@dataclass(kw_only=True)
class _Started:
    """Process that runs beside others."""

    version: ScriptVersion
    session: Session
    turn: _Turn
    moments: Generator[None, None, None] = field(init=False)
    ended: bool = False

    def __post_init__(self) -> None:
        self.moments = self.session.moments(self.turn.plan())

    @property
    def starts(self) -> bool:
        return not self.ended and not self.turn.waits

    @property
    def script_run(self) -> ScriptRunRecord | None:
        runs = self.session.result.script_runs
        return runs[-1] if runs else None

    def move(self) -> None:
        """Let its session take what has come; re-raise an interruption that reached it."""
        if self.ended:
            return
        try:
            next(self.moments)
        except StopIteration:
            self.ended = True
            if self.session.result.interrupted is not None:
                raise self.session.result.interrupted from None

    def close(self) -> None:
        """End the process and all it started."""
        self.ended = True
        self.moments.close()

    def busy_cpus(self, since: int) -> list[float]:
        """Return the busy CPUs of its samples from this number on."""
        run = self.script_run
        return [point.tree_cpus for point in run.usage[since:]] if run is not None else []

    @property
    def samples(self) -> int:
        run = self.script_run
        return len(run.usage) if run is not None else 0


class SideBySide:
    """Processes of the current round; those that cannot run beside others are measured alone."""

    def __init__(
        self,
        trials: ProcessTrials,
        *,
        known: Footprint | None = None,
        has_devices: bool = False,
        room: Callable[[], Room] = free_room,
    ) -> None:
        """Set up; `known` is what a search has seen of the script."""
        self._trials = trials
        self._known = known
        self._seen: dict[str, Footprint] = {}
        self._has_devices = has_devices
        self._room = room
        self._started: list[_Started] = []
        self._given_up = False

    def fit(self, versions: Sequence[ScriptVersion]) -> bool:
        """Return True if these processes may run beside each other; `measure` otherwise runs each alone."""
        if self._given_up or not 2 <= len(versions) <= MOST_TOGETHER:
            return False
        # Without views of their own, processes would write the same files at the same time.
        if not all(version.isolation.protects for version in versions):
            return False
        needs = self._needs(versions)
        if needs is None or any(one.ranks > 1 for one in needs):
            return False  # ranks find each other by a port, and a second script run would use the same
        why = misfit(needs, self._room(), has_devices=self._has_devices)
        if why is not None:
            self._give_up(why)
        return why is None

    def start(self, versions: Sequence[ScriptVersion], *, seed: int | None) -> None:
        """Start a round's processes together and wait until all have made their first updates."""
        self.close()
        for version in versions:
            setup = InScriptRun(windows=[begin_window()], setup=version.setup)
            session = self._trials.session(version, seed)
            self._started.append(_Started(version=version, session=session, turn=_Turn(begin=setup)))
        self._await_starts()
        if not self._all_rest():
            self._give_up("a process of the script computes while it waits")

    def measure(self, version: ScriptVersion, *, seed: int | None = None) -> Process:
        """Measure one process of the round; raises what `ProcessTrials.measure` raises.

        A failure beside other processes counts only if it happens alone, too.
        """
        started = next((one for one in self._started if one.version is version), None)
        if started is None:
            return self._alone(version, seed)
        self._started.remove(started)
        try:
            return self._counted(started, seed)
        except (ScriptError, NothingMeasuredError) as error:
            if isinstance(error, ScriptError) and error.kind in ITS_OWN:
                raise
            self.close()
            process = self._alone(version, seed)
            self._give_up(f"beside another process of the script, {error}")
            return process

    def close(self) -> None:
        """End all processes that wait."""
        while self._started:
            self._started.pop().close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _alone(self, version: ScriptVersion, seed: int | None) -> Process:
        process = self._trials.measure(version, seed=seed)
        if process.script_run is not None:
            self._learn(version, process.script_run)
        return process

    def _learn(self, version: ScriptVersion, script_run: ScriptRunRecord, *, beside: bool = False) -> None:
        """Keep what a process needed; beside others, the device's memory and the start-up are not its own."""
        found, known = Footprint.of([script_run]), self._seen.get(version.name, self._known)
        if found is not None and known is not None and beside:
            found = replace(found, device_bytes=known.device_bytes, start_s=known.start_s)
        if found is not None:
            self._seen[version.name] = found

    def _needs(self, versions: Sequence[ScriptVersion]) -> list[Footprint] | None:
        """Return what each version needs; None if nothing is known of the script."""
        known = [*self._seen.values(), *([self._known] if self._known is not None else [])]
        if not known:
            return None
        unseen = self._known or max(known, key=lambda one: (one.ranks, one.host_bytes)).scaled(UNSEEN)
        return [self._seen.get(version.name, unseen) for version in versions]

    def _await_starts(self) -> None:
        """Pump all sessions until each process waits or has ended; end what blocks or does not fit."""
        needs = self._needs([one.version for one in self._started]) or []
        limit_s = max(LEAST_START_S, START_FACTOR * sum(one.start_s for one in needs))
        begin_s = time.monotonic()
        while any(one.starts for one in self._started):
            for one in self._started:
                one.move()
            late = time.monotonic() - begin_s > limit_s and any(one.turn.waits for one in self._started)
            starting = [one for one in self._started if one.starts]
            if starting and (late or self._room().host_bytes < LEAST_FREE_BYTES):
                starting[-1].close()

    def _all_rest(self) -> bool:
        """Wait until no process computes; return False if one goes on computing."""
        waiting = [one for one in self._started if one.turn.waits]
        before = [one.samples for one in waiting]
        until_s = time.monotonic() + REST_AT_MOST_S
        while time.monotonic() < until_s:
            for one in waiting:
                one.move()
            last = [one.busy_cpus(since)[-RESTING_SAMPLES:] for one, since in zip(waiting, before, strict=True)]
            if all(one.ended or _rests(busy) for one, busy in zip(waiting, last, strict=True)):
                return True
        return not waiting

    def _counted(self, started: _Started, seed: int | None) -> Process:
        before = [one.samples for one in self._started]
        started.turn.window = self._trials.window(started.version)
        with contextlib.closing(started):
            while not started.ended:
                for one in (started, *self._started):
                    one.move()
        process = self._trials.taken(started.version, started.session.result, seed)
        if process.script_run is not None:
            self._learn(started.version, process.script_run, beside=True)
        busy = [one.busy_cpus(since) for one, since in zip(self._started, before, strict=True)]
        if any(cpus and sum(cpus) / len(cpus) > RESTING_CPUS for cpus in busy):
            self._give_up("a process of the script computed while it waited")
            return replace(process, run=replace(process.run, disturbed=True))
        return process

    def _give_up(self, why: str) -> None:
        """Run processes one after another from now on, and say why."""
        self.close()
        if not self._given_up:
            self._given_up = True
            note = f"{why}: processes are started one after another"
            self._trials.notes.append(note)
            self._trials.options.progress.note(note)


def _rests(busy: Sequence[float]) -> bool:
    return len(busy) >= RESTING_SAMPLES and max(busy) < RESTING_CPUS

"""Script run: one process of the user's script, from its start to its guaranteed end."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import wire
from ..plural import plural
from ..redaction import Redactor
from ..script_constants import ByModule
from ..types import Command, Failure, UsagePoint
from .bootstrap_file import BOOTSTRAP
from .channel import BadLine, ControllerChannel, Disconnected
from .device_watch import DeviceWatch
from .isolation import Isolation, View, refusals
from .launch_file import store
from .launch_line import launch_line
from .other_programs import Running, busiest, running
from .processes import MemoryGuard, ScriptProcess, exit_reason, start
from .ranks import failure_of_ranks
from .run_options import RunOptions
from .script_run_record import ScriptRunRecord
from .together import Together
from .usage import system_usage

USAGE_EVERY_S = 0.25
RECEIVE_S = 0.1
LAST_WORDS_S = 1.0
"""Seconds to wait for the last messages after the process has ended."""
IDLE_CPUS = 0.02
"""Busy CPUs below which a process tree is waiting for something, not working."""
STDERR_TAIL_BYTES = 4096
ERROR_NUMBER = re.compile(r"\[Errno -?\d+\] ")
"""Number that Python puts before the words of a system error."""
LAST_LINES = 4
"""Lines at the end of stderr among which the error of a script is that ended with an exit code."""


class ScriptRun:
    """Process of the user's script: `with` starts it, `messages` reads its messages, leaving the block ends it."""

    def __init__(
        self,
        *,
        number: int,
        command: Command,
        folder: Path,
        isolation: Isolation,
        options: RunOptions,
        config: Mapping[str, Any],
        constants: ByModule,
        environment: Mapping[str, str],
        devices: DeviceWatch | None,
        seed: int | None,
    ) -> None:
        """Set up the script run; `environment` is added to advisor's own, and `agent/seeds.py` explains `seed`."""
        self.record = ScriptRunRecord(number=number, started=datetime.now(UTC).isoformat(timespec="seconds"))
        self.view: View | None = None
        self._command = command
        self._redactor = Redactor.of_words(command.args, os.environ)
        self._folder = folder
        self._isolation = isolation
        self._limits = options.limits
        self._config = dict(config)
        self._constants = constants
        self._trackers_offline = options.trackers_offline
        self._updates = options.updates
        self._metric = options.metric
        self._seed = seed
        self._devices = self.record.devices = devices
        self._environment = {**os.environ, **environment}
        self._stack = ExitStack()
        self._begin_s = 0.0
        self._progress_at_s = 0.0
        self._busy_at_s = 0.0
        self._usage_at_s = 0.0
        self._cpu_s = 0.0
        self._watch_begin_s = 0.0
        self._watch_begin_cpu_s = 0.0
        self._others_begin: dict[int, Running] = {}
        self._events_elsewhere = 0
        self._report = folder / f"life-{number}.ranks.json"
        """What a launcher writes of its ranks' deaths."""

    def __enter__(self) -> ScriptRun:
        with ExitStack() as stack:
            self._channel = stack.enter_context(ControllerChannel(self._folder))
            self._together = Together.of(self._config, self._isolation, self._folder, self.record.number)
            isolation, writable = self._together.isolation, self._together.writable
            self.view = stack.enter_context(isolation.prepare(Path(self._command.cwd), writable=writable))
            spec = self._spec(self._command.args)
            launch_file = self._stored(spec)
            stack.enter_context(self._together.others(self._command, spec, self._environment))
            argv = launch_line(self._command, [str(BOOTSTRAP), str(launch_file)], report=self._report)
            self._begin_s = self._progress_at_s = self._busy_at_s = time.monotonic()
            self._process: ScriptProcess = stack.enter_context(
                start(
                    argv,
                    cwd=self.view.cwd,
                    env=self._together.environment_of(0, self._environment),
                    logs=self._folder,
                    view=self.view,
                    name=f"life-{self.record.number}",
                    redactor=self._redactor,
                )
            )
            self._guard: MemoryGuard | None = None
            if self._limits.memory_bytes is not None:
                self._guard = stack.enter_context(MemoryGuard(self._process, self._limits.memory_bytes))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self.end(0.0)
        finally:
            self._stack.close()
            args = self._redactor.words(self._command.args)
            if args != self._command.args:
                self._stored(self._spec(args))

    # --- talking --------------------------------------------------------------------------------------------------

    def send_plan(self, windows: Sequence[wire.Window], *, final: bool) -> None:
        self._channel.send(wire.Plan(list(windows), final))

    def wait_at_most(self, no_progress_s: float) -> None:
        """Regard the script as hung, from now on, after this many seconds without progress."""
        self._limits = replace(self._limits, no_progress_s=no_progress_s)
        self._progress_at_s = time.monotonic()

    def watch_from_now(self) -> None:
        """Forget how busy the machine was until now."""
        self.record.system_begin = self.record.system_end = None
        self.record.watched_s = self.record.tree_cpu_s = 0.0

    def stop(self, why: str) -> None:
        """Ask the agent to report what it has and to quit at the end of the next update."""
        self._channel.send(wire.Stop(why))

    def messages(self, until_s: float | None = None) -> Iterator[Any]:
        """Yield messages as they come, and None now and then, until the end of the script run or `until_s`.

        `until_s` is a time of `time.monotonic`. If a limit is hit, end the process; `record.failure` then says which.
        """
        while until_s is None or time.monotonic() < until_s:
            message = self._channel.receive(RECEIVE_S)
            self._watch()
            if message is not None:
                yield from self._take(message)
                if isinstance(message, wire.Goodbye) and self.record.ranks.all_said_goodbye:
                    self._finish_after_goodbye()
                    return
                if not self.record.ranks.is_overdue():
                    continue
            yield None
            if self.record.ranks.is_overdue():
                self._conclude()
                return
            if self._process.poll() is not None:
                yield from self._last_words()
                self._conclude()
                return
            hang = self._hang()
            if hang is not None:
                self.record.failure = self._failure("hang", hang)
                self.end(0.0)
                return

    def end(self, grace_s: float = 2.0) -> None:
        """End the process and all its descendants, if it still runs."""
        if self.record.end != "running":
            return
        self._name_others()
        self.record.left_processes = self._process.end(grace_s)
        self.record.exit_code = self._process.poll()
        self.record.elapsed_s = time.monotonic() - self._begin_s
        self.record.end = self.record.failure.kind if self.record.failure else "stopped"

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._begin_s

    def stderr_tail(self) -> str:
        return self._process.stderr.tail(STDERR_TAIL_BYTES)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _spec(self, args: Sequence[str]) -> wire.LaunchSpec:
        command = self._command
        spec = wire.LaunchSpec(
            version=wire.WIRE_VERSION,
            socket=str(self._channel.path),
            token=self._channel.token,
            target=command.target,
            is_module=command.is_module,
            args=list(args),
            config=self._config,
            constants={module: dict(values) for module, values in self._constants.items()},
            trackers_offline=self._trackers_offline,
            updates=self._updates,
            metric=self._metric,
            seed=self._seed,
            launched=command.is_launched,
        )
        return self._together.first(spec)

    def _stored(self, spec: wire.LaunchSpec) -> Path:
        path = self._folder / f"life-{self.record.number}.json"
        store(spec, path)
        return path  # our own folder keeps its true path in every view, even if it lies in a copied project

    def _take(self, message: Any) -> Iterator[Any]:
        record = self.record
        if not isinstance(message, wire.WindowDone | wire.Facts):  # they are large, and redacted with the profile
            message = self._redactor.of(message)
        if record.ranks.take(message):
            self._saw_other_rank()
            if isinstance(message, wire.Goodbye):
                yield message
            return
        record.keep(message)
        match message:
            case wire.Hello() | wire.Ready() | wire.Note() | wire.Facts() | wire.SoFar() | wire.Crashed():
                pass
            case wire.Beat():
                if message.events > record.events or message.updates > record.updates:
                    self._progress_at_s = time.monotonic()
                record.events, record.updates = message.events, max(record.updates, message.updates)
            case wire.Goodbye():
                record.updates = max(record.updates, message.updates)
            case Disconnected():
                return
            case BadLine():
                record.notes.append(wire.Note(0, "bad_line", message.reason))
                return
            case wire.Idle():
                record.updates = max(record.updates, message.updates)
                self._progress_at_s = time.monotonic()
            case _:
                self._progress_at_s = time.monotonic()
        if record.first_update_at_s is None and record.updates:
            record.first_update_at_s = self.elapsed_s
        yield message

    def _saw_other_rank(self) -> None:
        """Count what another rank does as progress: one that computes long keeps the others waiting."""
        events = sum(other.events for other in self.record.ranks.others)
        if events > self._events_elsewhere:
            self._events_elsewhere, self._progress_at_s = events, time.monotonic()

    def _watch(self) -> None:
        """Record the process tree's own use of the machine, a few times per second."""
        now = time.monotonic()
        if now - self._usage_at_s < USAGE_EVERY_S:
            return
        usage = self._process.usage()
        passed = now - (self._usage_at_s or self._begin_s)
        cpus = max(0.0, usage.cpu_s - self._cpu_s) / max(passed, 1e-3)
        self._usage_at_s, self._cpu_s = now, usage.cpu_s
        self._watch_system(now, usage.cpu_s)
        if cpus > IDLE_CPUS * self.record.ranks.processes:
            self._busy_at_s = now
        at_s = now - self._begin_s
        sample = self._devices.sample(at_s) if self._devices is not None else None
        self.record.usage.append(
            UsagePoint(
                at_s=at_s,
                accelerator_busy_fraction=sample.busy_fraction if sample else None,
                accelerator_memory_bytes=sample.memory_bytes if sample else None,
                tree_cpus=cpus,
                rss_bytes=usage.rss_bytes,
                processes=usage.processes,
                threads=usage.threads,
            )
        )

    def _watch_system(self, now: float, tree_cpu_s: float) -> None:
        record = self.record
        record.system_end = system_usage()
        if record.system_begin is None:
            record.system_begin = record.system_end
            self._watch_begin_s, self._watch_begin_cpu_s = now, tree_cpu_s
            self._others_begin = running()
        record.watched_s = now - self._watch_begin_s
        record.tree_cpu_s = tree_cpu_s - self._watch_begin_cpu_s

    def _name_others(self) -> None:
        self.record.other_programs = busiest(self._others_begin, running(), time.monotonic() - self._watch_begin_s)

    def _hang(self) -> str | None:
        now = time.monotonic()
        still_s = now - self._progress_at_s
        idle_s = now - self._busy_at_s
        if self.record.updates and still_s > self._limits.no_progress_s:
            made, where = plural(self.record.updates, "update"), self.record.ranks.whereabouts()
            return f"no batch, forward or update for {still_s:.0f} s after {made}{where}"
        if not self.record.updates and still_s > self._limits.no_progress_s and idle_s > self._limits.no_progress_s:
            return f"no update yet, and the process has been idle for {idle_s:.0f} s{self.record.ranks.whereabouts()}"
        if not self.record.updates and now - self._begin_s > self._limits.start_s:
            where = self.record.ranks.whereabouts()
            return f"no update within {self._limits.start_s:.0f} s of the start{where}"
        return None

    def _last_words(self) -> Iterator[Any]:
        until_s = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < until_s:
            message = self._channel.receive(0.05)
            if message is not None:
                yield from self._take(message)
            if not self._channel.connected and (message is None or isinstance(message, Disconnected)):
                return

    def _finish_after_goodbye(self) -> None:
        """Conclude after the agent's last message; the process ends by itself soon after, or is ended."""
        reason = self.record.goodbye.reason if self.record.goodbye else ""
        ours = reason not in ("finished", "crashed")
        self._process.wait(LAST_WORDS_S if ours else 10 * LAST_WORDS_S)
        self._conclude()

    def _conclude(self) -> None:
        record = self.record
        self._name_others()
        record.left_processes = self._process.end(0.0)
        record.exit_code = self._process.poll()
        record.elapsed_s = time.monotonic() - self._begin_s
        reason = record.goodbye.reason if record.goodbye else None
        if reason in ("plan done", "stopped"):
            record.end = reason
            return
        record.failure = record.failure or self._why_it_failed()
        record.end = record.failure.kind if record.failure else "finished"

    def _why_it_failed(self) -> Failure | None:
        record = self.record
        if self._guard is not None and self._guard.tripped:
            assert self._limits.memory_bytes is not None
            return self._failure("oom", f"exceeded the memory limit of {self._limits.memory_bytes / 2**30:.1f} GiB")
        record.crashed = record.ranks.first_crash(self._report)
        of_ranks = failure_of_ranks(record.ranks, self._report, self._command.launcher) if self._is_launched else None
        if of_ranks is not None:
            return self._failure(*of_ranks)
        if record.crashed is not None:
            text = record.crashed.exceptions[0] if record.crashed.exceptions else "unknown exception"
            kind = "oom" if record.crashed.kind == "oom" else "crash"
            if refusals.is_full(record.crashed.exceptions, self._isolation):
                kind = "disk_full"
            said = ERROR_NUMBER.sub("", text)
            return self._failure(kind, f"{self._who()} raised {said}{self._because(record.crashed.exceptions)}")
        if record.exit_code:
            killed = record.exit_code in (-9, 137)
            because = self._because(self.stderr_tail().split("\n")[: -LAST_LINES - 1 : -1])
            return self._failure("oom" if killed else "exit", f"the script {exit_reason(record.exit_code)}{because}")
        return None

    def _who(self) -> str:
        """Return the subject of the sentence on a crash."""
        crashed = self.record.crashed
        return f"rank {crashed.rank}" if crashed is not None and self.record.ranks.world_size > 1 else "the script"

    def _because(self, errors: Iterable[str]) -> str:
        return refusals.words(errors, self._isolation, self.view) if self.view is not None else ""

    def _failure(self, kind: Any, message: str) -> Failure:
        record = self.record
        return Failure(
            kind=kind,
            message=message,
            exit_code=self._process.poll(),
            exceptions=tuple(record.crashed.exceptions) if record.crashed else (),
            stderr_tail=self._own_words() or self.stderr_tail(),
            elapsed_s=self.elapsed_s,
        )

    def _own_words(self) -> str:
        """Return the traceback of the rank that failed first: on stderr, those of all ranks and the launcher mix."""
        crashed = self.record.crashed
        return crashed.traceback if crashed is not None and self._is_launched else ""

    @property
    def _is_launched(self) -> bool:
        return self._command.is_launched

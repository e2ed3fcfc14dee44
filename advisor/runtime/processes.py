"""User's script as a process that can always be ended, with all its descendants and nothing else.

The keeper (`isolation/keeper.py`) stands between advisor and the script. It holds one end of a socket: when advisor
dies, even by SIGKILL, the socket closes and the keeper ends the script. On tiers with a process namespace, the kernel
does that.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import fcntl
import marshal
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

from ..errors import IsolationError, UsageError
from ..redaction import Redactor
from . import usage
from .output import CappedLog, OutputReader

if TYPE_CHECKING:
    from .isolation import View

KEEPER = Path(__file__).parent / "isolation" / "keeper.py"
START_S = 30.0
"""Limit for the start: mounting takes milliseconds, but a swapping machine may need seconds for an interpreter."""
GRACE_S = 2.0
"""Seconds between SIGTERM and killing: enough for Python to run a handler, short enough for many windows."""
KILL_S = 7.0
"""Limit for killing: the keeper itself tries for 5 s, then advisor kills the processes it has seen."""
SAMPLE_S = 0.1
"""Interval of the memory guard, in which a script touches about half a gigabyte of new memory."""
ROWS, COLUMNS = 24, 80
SIGNAL_WORDS = {
    int(signal.SIGKILL): ", often the kernel's out-of-memory killer",
    int(signal.SIGSEGV): ", a crash in compiled code",
    int(signal.SIGABRT): ", a failed check in compiled code",
    int(signal.SIGBUS): ", often a full /dev/shm",
    int(signal.SIGTERM): "",
    int(signal.SIGINT): "",
}
"""Usual meaning of these signals for a training; also of the exit codes above 128 that a launcher passes on."""


class ScriptProcess:
    """Started script. Use it as a context manager, so that `end` is always called."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        control: socket.socket,
        reader: OutputReader,
        stdout: CappedLog,
        stderr: CappedLog,
    ) -> None:
        self._popen = popen
        self._control = control
        self._reader = reader
        self.stdout = stdout
        self.stderr = stderr
        self.keeper_pid = popen.pid
        self.notes: tuple[str, ...] = ()
        """Limitations of the view, such as a folder that is read-only in it."""
        self.root_pid = popen.pid
        """Process above the script: the keeper, or process 1 of the script's namespace."""
        self._seen: dict[int, psutil.Process] = {}
        self._ending = threading.Lock()

    def __enter__(self) -> ScriptProcess:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end(0.0)

    def poll(self) -> int | None:
        """Return None while the script runs, then its exit code or the signal's negative number."""
        return self._popen.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Wait for the script's end, at most this long."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def usage(self) -> usage.TreeUsage:
        """Return what the script and its descendants use now."""
        measured = usage.tree_usage(self.root_pid)
        self._remember()
        return measured

    def end(self, grace_s: float = GRACE_S) -> tuple[int, ...]:
        """End the script and all it started, within `grace_s` and a few seconds.

        Returns the ids of processes that could not be ended: those of another user, or stuck in the kernel.
        """
        with self._ending:  # a guard's thread and the main one may both want it
            self._end(grace_s)
        return tuple(pid for pid, process in list(self._seen.items()) if _alive(process))

    def _end(self, grace_s: float) -> None:
        if self.poll() is None and grace_s > 0:
            self._remember()
            self._say(b"term")
            self.wait(grace_s)
        if self.poll() is None:
            self._remember()
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.keeper_pid, signal.SIGCONT)  # a stopped keeper could not obey
            self._say(b"kill")
            self.wait(KILL_S)
        self._end_by_force()
        self._control.close()
        self._reader.close()

    def _end_by_force(self) -> None:
        """End the processes seen below a killed or hung keeper one by one, by id and start time."""
        for process in list(self._seen.values()):
            if _alive(process):
                with contextlib.suppress(psutil.Error):
                    process.kill()  # psutil compares the start time first
        if self.poll() is None:
            self._popen.kill()
            self.wait(KILL_S)
        deadline = time.monotonic() + 1.0
        while any(_alive(process) for process in list(self._seen.values())) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _remember(self) -> None:
        for pid in usage.tree(self.keeper_pid):
            if pid not in self._seen or not self._seen[pid].is_running():
                with contextlib.suppress(psutil.Error):
                    self._seen[pid] = psutil.Process(pid)

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self._control.sendall(word)

    def _await_start(self) -> None:
        deadline = time.monotonic() + START_S
        received = b""
        while True:
            self._control.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                part = self._control.recv(1 << 16)
            except TimeoutError:
                raise IsolationError(
                    f"the process that starts the script did not answer within {START_S:.0f} s"
                ) from None
            received += part
            *lines, received = received.split(b"\n")
            if any(self._note(ast.literal_eval(line.decode())) for line in lines):
                self._control.settimeout(1.0)
                return
            if not part:
                raise IsolationError(
                    "the process that starts the script ended before the script started: "
                    f"{self.stderr.tail(500).strip()}"
                )

    def _note(self, message: Mapping[str, Any]) -> bool:
        """Take in one line of the keeper; return True when the script runs."""
        if message.get("failed") == "start":
            missing = message["errno"] in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR)
            raise (UsageError if missing else IsolationError)(f"the script could not be started: {message['message']}")
        if "failed" in message:
            raise IsolationError(message["message"])
        self.notes += tuple(message.get("notes", ()))
        return "started" in message


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    logs: Path,
    view: View | None = None,
    stdin: Literal["terminal", "null"] = "terminal",
    name: str = "script",
    redactor: Redactor | None = None,
) -> ScriptProcess:
    """Start `argv` in `view` (None: unprotected), with its output going to `logs/NAME.stdout` and `.stderr`.

    `redactor` replaces the secrets in these files.

    Returns once the script really runs. Raises UsageError if it cannot be executed, and IsolationError if the view
    cannot be built.
    """
    ours, theirs = socket.socketpair()
    stdout, stderr = (CappedLog(logs / f"{name}.{end}", redactor=redactor) for end in ("stdout", "stderr"))
    out_reader, out_writer = os.pipe()
    err_reader, err_writer = os.pipe()
    sources: list[tuple[int, CappedLog | None]] = [(out_reader, stdout), (err_reader, stderr)]
    if stdin == "terminal":
        master, slave = _terminal()
        sources.append((master, None))  # emptied, so that a script which writes to its own input does not hang
    else:
        slave = os.open(os.devnull, os.O_RDONLY)
    try:
        popen = subprocess.Popen(
            [sys.executable, "-ISE", str(KEEPER), str(theirs.fileno())],
            stdin=slave,
            stdout=out_writer,
            stderr=err_writer,
            cwd="/",
            env={**env, **(view.env if view else {})},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    except OSError:
        for descriptor in (out_reader, err_reader, *([master] if stdin == "terminal" else [])):
            os.close(descriptor)
        ours.close()
        raise
    finally:
        theirs.close()
        for descriptor in (out_writer, err_writer, slave):
            os.close(descriptor)
    process = ScriptProcess(popen, ours, OutputReader(sources), stdout, stderr)
    try:
        spec = marshal.dumps({"argv": list(argv), "cwd": str(cwd), **(view.keeper if view else {})})
        process._say(
            len(spec).to_bytes(8, "big") + spec
        )  # marshal: to the same interpreter, which has no time for more
        process._await_start()
    except BaseException:
        process.end(0.0)
        raise
    if view is not None:
        view.notes += process.notes
        if view.keeper.get("namespace"):
            process.root_pid = next(iter(usage.tree(popen.pid)), popen.pid)
    return process


class MemoryGuard:
    """Guard that ends a script using more memory than it may, before the machine runs out."""

    def __init__(self, process: ScriptProcess, limit_bytes: int) -> None:
        self.process = process
        self.limit_bytes = limit_bytes
        self.peak_bytes = 0
        self.tripped = False
        """True if the script was ended for its memory: an `oom`, whatever its exit code."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="advisor-memory-guard", daemon=True)

    def __enter__(self) -> MemoryGuard:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(KILL_S * 2)

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S) and self.process.poll() is None:
            self.peak_bytes = max(self.peak_bytes, self.process.usage().rss_bytes)
            if self.peak_bytes > self.limit_bytes:
                self.tripped = True
                self.process.end(0.0)
                return


def exit_reason(returncode: int) -> str:
    """Describe how a process ended, from a Popen's return code or a shell's 128 + signal."""
    if returncode == 0:
        return "ended with exit code 0"
    number = -returncode if returncode < 0 else returncode - 128
    if returncode > 0 and number not in SIGNAL_WORDS:
        return f"ended with exit code {returncode}"
    names = {member.value: member.name for member in signal.Signals}
    return f"was killed by {names.get(number, f'signal {number}')} (exit {128 + number}){SIGNAL_WORDS.get(number, '')}"


def _terminal() -> tuple[int, int]:
    """Open a 24 × 80 terminal whose reads end at once: a script that asks a question gets end of input."""
    master, slave = pty.openpty()
    attributes = termios.tcgetattr(slave)
    attributes[3] &= ~(termios.ICANON | termios.ECHO)
    attributes[6][termios.VMIN] = attributes[6][termios.VTIME] = 0
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    return master, slave


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

"""Keepers, and the scripts below them, in forks of a process that has imported torch.

The keeper is `advisor/runtime/isolation/keeper.py` as it is: what it makes of namespaces, signals and ends is real.
Only where it would execute `python bootstrap.py`, or the launcher of ranks, its child goes on in the interpreter that
is there already (for the ranks themselves see `forked_ranks.py`). Not for tests of what is seen of a process from
outside (its environment there, and its command line, are those of the server), nor of what an interpreter does at its
start and its end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

ADVISOR = Path(__file__).resolve().parent.parent / "advisor"
KEEPER = ADVISOR / "runtime" / "isolation" / "keeper.py"
BOOTSTRAP = ADVISOR / "agent" / "bootstrap.py"
LAUNCHER = ADVISOR / "agent" / "launcher.py"
HEADER = 8
"""Bytes of the length before the text that is sent."""
NEEDED_AT_THE_START = ("LD_PRELOAD", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "KMP_BLOCKTIME", "PYTORCH_CUDA_ALLOC_CONF",
                       "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONWARNINGS")  # fmt: skip
"""Variables that are read while an interpreter or torch starts: another value needs a new program."""

MARK = "ADVISOR_FAULT_TEST"
"""Variable by which tests know processes that began in theirs. Forks have its value in their name, too: the environment
of a fork that others see is the server's."""

Become = Callable[[list[str]], int]
"""Runs what `python words` runs, in this process; returns its exit code."""


# --- where keepers are asked for --------------------------------------------------------------------------------------


class Keeper:
    """Stands for the `Popen` of a keeper."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._text, self._lock = connection, b"", threading.Lock()
        self.returncode: int | None = None
        self.pid = int(self._line(None) or 0)

    def poll(self) -> int | None:
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("keeper", timeout or 0.0)
        return code

    def kill(self) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _ended(self, timeout_s: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and (line := self._line(timeout_s)) is not None:
                self.returncode = int(line)
                self._connection.close()
            return self.returncode

    def _line(self, timeout_s: float | None) -> str | None:
        while b"\n" not in self._text:
            if not select.select([self._connection], [], [], timeout_s)[0]:
                return None
            part = self._connection.recv(64)
            assert part, "the server of keepers has ended"
            self._text += part
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()


def install(path: str, patch: Callable[[Any, str, Any], None]) -> None:
    """Have sessions of this process start their scripts by the server at `path`."""
    from advisor.runtime import processes

    def popen(argv: list[str], **options: Any) -> Any:
        if str(KEEPER) not in argv:
            return subprocess.Popen(argv, **options)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(path)
        text = json.dumps(dict(options["env"])).encode()
        descriptors = [options[name] for name in ("stdin", "stdout", "stderr")] + list(options["pass_fds"])
        socket.send_fds(connection, [len(text).to_bytes(HEADER, "big") + text], descriptors)
        return Keeper(connection)

    patch(processes, "subprocess", types.SimpleNamespace(Popen=popen, TimeoutExpired=subprocess.TimeoutExpired))


# --- the server -------------------------------------------------------------------------------------------------------


def listen(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    return listening


def serve(listening: socket.socket, until: int, become: Become) -> NoReturn:
    """Fork a keeper for everybody who asks, until the descriptor `until` is closed at its other end."""
    with listening:
        while True:
            waited: list[Any] = [listening, until]
            ready = select.select(waited, [], [])[0]
            if until in ready and not os.read(until, 64):
                os._exit(0)
            if listening not in ready:
                continue
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            connection = listening.accept()[0]
            if os.fork() == 0:
                break
            connection.close()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, until)  # closed, its number would be given away
    os.close(nothing)
    _watch(connection, become)


def _watch(connection: socket.socket, become: Become) -> NoReturn:
    """Fork the keeper, and tell its process id and how it has ended."""
    part, descriptors, _flags, _address = socket.recv_fds(connection, 1 << 16, 4)
    size = int.from_bytes(part[:HEADER], "big")
    text = part[HEADER:]
    while len(text) < size:
        text += connection.recv(1 << 16)
    keeper = os.fork()
    if keeper == 0:
        connection.close()
        _keep(json.loads(text), descriptors, become)
    for descriptor in descriptors:
        os.close(descriptor)
    for number in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), number)
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % keeper)
    code = os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(b"%d\n" % code)
    os._exit(0)


def name_of(mark: str) -> str:
    """Return the name of forks that begin with this mark, in as many letters as the kernel keeps."""
    return mark[:15]


def _keep(environment: Mapping[str, str], descriptors: list[int], become: Become) -> NoReturn:
    """Be the keeper."""
    started_with = {name: os.environ.get(name) for name in NEEDED_AT_THE_START}
    os.environ.clear()
    os.environ.update(environment)
    if MARK in environment:
        Path("/proc/self/comm").write_text(name_of(environment[MARK]))
    os.setsid()
    os.chdir("/")
    *streams, control = descriptors
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv[:] = [str(KEEPER), str(control)]
    spec = importlib.util.spec_from_file_location("keeper", KEEPER)
    assert spec is not None
    assert spec.loader is not None
    keeper: Any = importlib.util.module_from_spec(spec)
    sys.modules["keeper"] = keeper
    spec.loader.exec_module(keeper)
    _goes_on_here(keeper, started_with, become)
    keeper.main()
    os._exit(0)


def signals_as_at_the_start() -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _goes_on_here(keeper: Any, started_with: Mapping[str, str | None], become: Become) -> None:
    """Let the keeper's child run `python bootstrap.py` without executing a new interpreter."""
    execute = os.execvpe

    def run_here(program: Any, argv: Any, environment: Any) -> None:
        here = program == sys.executable and argv[1] in (str(BOOTSTRAP), str(LAUNCHER))
        if not here or {name: environment.get(name) for name in NEEDED_AT_THE_START} != started_with:
            execute(program, argv, environment)
        os.execvpe = execute
        for name in ("keeper", "keeper_view"):
            sys.modules.pop(name, None)
        signals_as_at_the_start()
        for number in (int(name) for name in os.listdir("/proc/self/fd")):  # noqa: PTH208
            with contextlib.suppress(OSError):  # the listing's own is closed already
                if number > 2 and not os.get_inheritable(number):
                    os.close(number)
        sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
        os._exit(become(list(argv)))

    os.execvpe = run_here  # type: ignore[assignment]

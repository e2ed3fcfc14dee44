"""Ranks in forks of the process that starts them: torchrun, or `advisor run` with `processes`; it has imported torch.

Each is a child of that process, in a session and an environment of its own, as `Popen` would start it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from forked_keepers import BOOTSTRAP, NEEDED_AT_THE_START, Become, signals_as_at_the_start

UNBUFFERED = "-u"
"""Option of Python that torchrun gives to every rank."""


class Rank:
    """Stands for the `Popen` of a rank."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], become: Become, **options: Any) -> None:
        self.args, self.returncode = argv, None
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _be(list(argv), environment, become, **options)
        self._ends = os.pidfd_open(self.pid)

    returncode: int | None

    def poll(self) -> int | None:
        if self.returncode is None:
            with contextlib.suppress(ChildProcessError):  # a signal's handler has asked meanwhile
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
                    os.close(self._ends)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.poll() is None:
            select.select([self._ends], [], [], timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def popen(become: Become) -> Callable[..., Any]:
    """Return what stands for `Popen` where ranks are started; it starts all else as that does."""

    def start(args: Sequence[str], *, env: Mapping[str, str], **options: Any) -> Any:
        words = [word for word in args[1:] if word != UNBUFFERED]
        redirected = options.get("stdout") or options.get("stderr")
        started_with = {name: os.environ.get(name) for name in NEEDED_AT_THE_START}
        here = args[0] == sys.executable and words[0] == str(BOOTSTRAP) and not redirected
        if not here or {name: env.get(name) for name in NEEDED_AT_THE_START} != started_with:
            return subprocess.Popen(args, env=env, **options)
        return Rank(args, env, become, **options)

    return start


def install_in_runs(become: Become, patch: Callable[[Any, str, Any], None]) -> None:
    """Have `advisor run` of this process fork itself for the first rank; the others have keepers."""
    from advisor.runtime import ranks_launch

    patch(
        ranks_launch,
        "subprocess",
        types.SimpleNamespace(Popen=popen(become), TimeoutExpired=subprocess.TimeoutExpired),
    )


def install_in_torchrun(become: Become, patch: Callable[[Any, str, Any], None]) -> None:
    """Have torchrun in this process fork itself for every rank."""
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    patch(subprocess_handler, "Popen", popen(become))


def _be(
    argv: list[str],
    environment: Mapping[str, str],
    become: Become,
    *,
    cwd: str | None = None,
    start_new_session: bool = False,
    **_none: None,
) -> NoReturn:
    if start_new_session:
        os.setsid()
    if cwd is not None:
        os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    signals_as_at_the_start()
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    if UNBUFFERED in argv[:2]:
        argv.remove(UNBUFFERED)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    os._exit(become(argv))

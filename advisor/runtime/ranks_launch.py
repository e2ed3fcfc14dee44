"""Real training by several processes: the first is the script's own, the others write into a view that is thrown away.

The first process has the terminal, the user's files, and decides how all end. If another one fails, all end with its
error. None survives: the kernel ends the first one with this process, and a keeper ends each of the others.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from .. import wire
from ..types import Command
from . import isolation as isolations
from .isolation import Isolation
from .launch_file import written
from .lost_partner import says_so
from .processes import ScriptProcess, exit_reason, start
from .run_options import RunOptions

SHARED_MEMORY = Path("/dev/shm")
"""Through it, processes of one machine pass gradients to each other."""
DEVICES = "CUDA_VISIBLE_DEVICES"
PASSED_ON = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
"""Signals to this process that are meant for the script; the terminal sends SIGINT to both."""
GRACE_S = 10.0
"""Seconds that the others have to end after the first, and it has to end after one of them failed."""
SHORT_GRACE_S = 0.5
"""The same where the first one has failed: an error of their own may follow."""
POLL_S = 0.05
TAIL_BYTES = 8192


def isolation_for(command: Command) -> Isolation:
    """Return the isolation of the other processes. Raises IsolationError if the user's files cannot be protected.

    They share process ids and shared memory with the first one, as libraries that pass gradients need both.
    """
    options = RunOptions()
    return isolations.choose("auto", project=Path(command.cwd), scratch=options.scratch, processes=False)


def train(
    command: Command, spec: wire.LaunchSpec, ranks: int, isolation: Isolation, environment: Mapping[str, str]
) -> int:
    """Run the script as `ranks` processes; return the first one's exit code, or the negative number of its signal.

    If another process fails first, say so on stderr, with the end of its output, and return its code.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="advisor-ranks-")))
        common = replace(
            spec,
            ranks=ranks,
            meeting=str(folder / "meeting"),
            parent=os.getpid(),
            alike=random.SystemRandom().getrandbits(32),
        )
        others: list[ScriptProcess] = []
        for rank in range(1, ranks):
            view = stack.enter_context(isolation.prepare(Path(command.cwd), writable=[folder, SHARED_MEMORY]))
            argv = written(command, replace(common, rank=rank, log=""), folder)
            variables = {**environment, **device_of(rank, environment)}
            others.append(
                stack.enter_context(
                    start(argv, cwd=view.cwd, env=variables, logs=folder, view=view, stdin="null", name=f"rank-{rank}")
                )
            )
        argv = written(command, common, folder)
        first = subprocess.Popen(argv, cwd=command.cwd, env={**environment, **device_of(0, environment)})
        with _signals_for(first):
            return _watch(first, others, Path(common.meeting))


def device_of(rank: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which a rank sees one accelerator only: the script's `cuda` is then its own."""
    seen = environment.get(DEVICES)
    if seen is None:
        return {DEVICES: str(rank)}
    named = [name for name in seen.split(",") if name.strip()]
    return {DEVICES: named[rank]} if rank < len(named) else {}


def _watch(first: subprocess.Popen[bytes], others: Sequence[ScriptProcess], meeting: Path) -> int:
    """Wait until the first process has ended, or another one has failed; return how the training ended."""
    failed = None
    while True:
        try:
            code = first.wait(POLL_S)
            break
        except subprocess.TimeoutExpired:
            failed = _failed(others, meeting)
            if failed is not None:
                code = _end_first(first)
                break
        except KeyboardInterrupt:
            continue  # the script has received it, too, and decides what it means
    if code and failed is None:
        failed = _failed(others, meeting)
        said = _crash(meeting, 0)
        if failed is not None and _crash(meeting, failed + 1) is None and not (said and says_so(said[0])):
            failed = None  # it was the first one's end that has killed it
    if failed is not None and not _is_earlier(_crash(meeting, 0), _crash(meeting, failed + 1)):
        _report(failed, others)
        ended = others[failed].poll() or code
        code = ended if ended > 0 else 128 - ended
    _let_end(others, GRACE_S if code == 0 else SHORT_GRACE_S)
    return code


def _failed(others: Sequence[ScriptProcess], meeting: Path) -> int | None:
    """Return the place of a process that an exception or a signal has ended; None if there is none.

    One that has left with an exit code does what the first one does, too.
    """
    for place, one in enumerate(others):
        code = one.poll()
        if code is not None and (code < 0 or (code > 0 and _crash(meeting, place + 1) is not None)):
            return place
    return None


def _crash(meeting: Path, rank: int) -> tuple[str, int] | None:
    """Return the exception by which the script failed on a rank, and when; None if it did not."""
    note = meeting.with_name(f"{meeting.name}.crashed-{rank}")
    try:
        return note.read_text(), note.stat().st_mtime_ns
    except OSError:
        return None


def _is_earlier(one: tuple[str, int] | None, other: tuple[str, int] | None) -> bool:
    """Return whether the first crash says all: it was the earlier one, or that of the script itself."""
    return one is not None and other is not None and (one[0] == other[0] or one[1] < other[1])


def _end_first(first: subprocess.Popen[bytes]) -> int:
    """End the first process, whose backward would wait for the one that failed: it mostly finds that out by itself."""
    for end, wait_s in ((None, GRACE_S / 5), (first.terminate, GRACE_S), (first.kill, GRACE_S)):
        if end is not None:
            end()
        try:
            return first.wait(wait_s)
        except subprocess.TimeoutExpired:
            continue
    return first.wait()


def _report(failed: int, others: Sequence[ScriptProcess]) -> None:
    one = others[failed]
    one.end(0.0)
    tail = one.stderr.tail(TAIL_BYTES).strip()
    code = one.poll()
    reason = exit_reason(code) if code is not None else "did not end"
    said = f":\n{tail}\n" if tail else "\n"
    sys.stderr.write(f"advisor: the training has ended, as process {failed + 2} of {len(others) + 1} {reason}{said}")
    sys.stderr.flush()


def _let_end(others: Sequence[ScriptProcess], grace_s: float) -> None:
    """Wait for the others, who have the same to do, and end them if they do not."""
    until = time.monotonic() + grace_s
    for one in others:
        one.wait(max(0.0, until - time.monotonic()))
        one.end(0.0)


@contextmanager
def _signals_for(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on to the script's process meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    numbers = [signal.Signals[name] for name in PASSED_ON if hasattr(signal, name)]
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Every cell of the table of promises: a script tries, and the outside is looked at."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from snapshot import Snapshot

from advisor.errors import IsolationError
from advisor.runtime.isolation import promises
from advisor.runtime.isolation.promises import PROMISES, Kept, Level, Subject
from advisor.runtime.processes import start

from .isolation_tools import wait_until, with_marker
from .levels import isolation_at

SHARED = Path("/dev/shm") / f"advisor-test-{os.getpid()}"
DEVICE = Path("/dev") / f"advisor-test-{os.getpid()}"
KEY = 0x61647600 + os.getpid() % 256
IPC_CREAT = 0o1000
QUEUE = f"/advisor-test-{os.getpid()}".encode()
UTS = str(Path("/proc/self/ns/uts").readlink())


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a script does to one subject, and what the outside shows of it."""

    code: str
    """Fails if it was refused."""
    outside: Callable[[Path], object]
    """Looks at the outside; `root` holds the project and a folder beside it."""
    named: str = ""
    """How a report of the change begins to name it."""
    half_done: bool = False
    """Whether Landlock refuses it when the change is made already."""


def _metadata(path: Path) -> object:
    seen = path.stat()
    return seen.st_mode, seen.st_mtime_ns


def _segment(_root: Path) -> object:
    return ctypes.CDLL(None).shmget(KEY, 0, 0) >= 0


def _queue(_root: Path) -> object:
    return ctypes.CDLL(None).mq_open(QUEUE, os.O_RDONLY) >= 0


def _content(path: Path) -> object:
    return path.read_text() if path.exists() else None


ATTEMPTS = {
    Subject.RELATIVE: Attempt(
        code="open('kept.txt', 'w').write('new'); assert open('kept.txt').read() == 'new'",
        outside=lambda root: _content(root / "project/kept.txt"),
        named="modified kept.txt",
    ),
    Subject.PROJECT: Attempt(
        code="open('{root}/project/kept.txt', 'w').write('new')",
        outside=lambda root: _content(root / "project/kept.txt"),
        named="modified kept.txt",
    ),
    Subject.PROJECT_METADATA: Attempt(
        code="import os; os.chmod('{root}/project/kept.txt', 0o600); os.utime('{root}/project/kept.txt', (1, 1))",
        outside=lambda root: _metadata(root / "project/kept.txt"),
        named="modified kept.txt",
    ),
    Subject.ELSEWHERE: Attempt(
        code="open('{root}/elsewhere/kept.txt', 'w').write('new')",
        outside=lambda root: _content(root / "elsewhere/kept.txt"),
    ),
    Subject.METADATA: Attempt(
        code="import os; os.chmod('{root}/elsewhere/kept.txt', 0o600); os.utime('{root}/elsewhere/kept.txt', (1, 1))",
        outside=lambda root: _metadata(root / "elsewhere/kept.txt"),
    ),
    Subject.SHARED_MEMORY: Attempt(
        code=f"p = '{SHARED}'; assert open(p).read() == 'kept'; open(p, 'w').write('new'); open(p + '2', 'w').close()",
        outside=lambda _root: (_content(SHARED), SHARED.with_name(SHARED.name + "2").exists()),
        named=f"modified {SHARED}",
    ),
    Subject.SYSTEM_V: Attempt(
        code=f"import ctypes; assert ctypes.CDLL(None).shmget({KEY}, 4096, {IPC_CREAT} | 0o600) >= 0", outside=_segment
    ),
    Subject.QUEUES: Attempt(
        code=f"import ctypes; flags = {os.O_CREAT | os.O_RDWR}; "
        f"assert ctypes.CDLL(None).mq_open({QUEUE!r}, flags, 0o600, None) >= 0",
        outside=_queue,
        half_done=True,
    ),
    Subject.DEVICES: Attempt(
        code=f"import os; os.mknod('{DEVICE}', 0o600 | 0o020000, os.makedev(1, 3))",
        outside=lambda _root: DEVICE.exists(),
    ),
    Subject.HOST_NAME: Attempt(
        code="import os, socket; print(os.readlink('/proc/self/ns/uts')); "
        "os.getuid() or os.readlink('/proc/self/ns/uts') == '{uts}' or socket.sethostname('advisor-test')",
        outside=lambda _root: socket.gethostname(),
    ),
    Subject.PROCESSES: Attempt(
        code="import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    os.fork()\n    time.sleep(600)",
        outside=lambda root: bool(with_marker(str(root / "marker"))),
    ),
}
"""The subject NETWORK is the agent's: `tests/faults/test_files.py`."""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    for name in ("project", "elsewhere", "logs"):
        (tmp_path / name).mkdir()
    for name in ("project", "elsewhere"):
        (tmp_path / name / "kept.txt").write_text("kept")
    SHARED.write_text("kept")
    yield tmp_path
    for path in (SHARED, SHARED.with_name(SHARED.name + "2"), DEVICE):
        if path.exists():
            path.unlink()
    libc = ctypes.CDLL(None)
    libc.mq_unlink(QUEUE)
    segment = libc.shmget(KEY, 0, 0)
    if segment >= 0:
        libc.shmctl(segment, 0, None)


def _is_of_another_test(changed_file: str) -> bool:
    """Shared memory belongs to all processes: tests that run beside this one have a file of their own there."""
    return str(SHARED.with_name("advisor-test-")) in changed_file and str(SHARED) not in changed_file


@pytest.mark.parametrize("subject", ATTEMPTS, ids=lambda subject: subject.name.lower())
@pytest.mark.parametrize("level", Level, ids=lambda level: level.name.lower())
def test_a_level_keeps_what_the_table_promises(level: Level, subject: Subject, root: Path) -> None:
    attempt, kept = ATTEMPTS[subject], PROMISES[level][subject]
    if subject is Subject.DEVICES and os.getuid():
        pytest.skip("only root can make a device")
    before = attempt.outside(root)
    code, output, changed_files = run_at(level, root, attempt.code)
    if subject is Subject.PROCESSES:
        assert wait_until(lambda: attempt.outside(root) == before)
    if subject is Subject.HOST_NAME:
        assert (output.strip() == UTS) == (kept is Kept.OPEN)
    if not (attempt.half_done and level is Level.LANDLOCK_ALONE):
        assert (code == 0) == (kept is not Kept.REFUSED), output
    is_changed = attempt.outside(root) != before
    assert is_changed == (kept in (Kept.COMPARED, Kept.OPEN) and subject is not Subject.HOST_NAME)
    if kept is Kept.COMPARED:
        assert tuple(file for file in changed_files if not _is_of_another_test(file)) == (attempt.named,)


def run_at(level: Level, root: Path, code: str) -> tuple[int | None, str, tuple[str, ...]]:
    """Exit code, output, and the changes that the view reports."""
    try:
        isolation = isolation_at(level, root / "project", root / "scratch")
    except IsolationError as error:
        pytest.skip(str(error))
    text = code.format(root=root, uts=UTS)
    command = [sys.executable, "-c", text, str(root / "marker")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with (
        isolation.prepare(root / "project", writable=[root / "logs"]) as view,
        start(command, cwd=view.cwd, env=environment, logs=root / "logs", view=view) as process,
    ):
        ended = process.wait(60)
    output = "".join((root / "logs" / f"script.{name}").read_text() for name in ("stdout", "stderr"))
    return ended, output, view.changed_files


def test_each_level_says_what_it_does_not_keep(snapshot: Snapshot) -> None:
    said = {level: promises.sentence(level) for level in Level}
    assert {level for level in Level if said[level].startswith("UNPROTECTED: ")} == {Level.COPY, Level.NONE}
    snapshot("isolation/promises", "".join(f"{level.value}: {text}\n" for level, text in said.items()))


def test_security_md_holds_the_table() -> None:
    page = (Path(__file__).parents[2] / "SECURITY.md").read_text()
    assert promises.table() in page

"""Scratch folders, in which a view keeps what the script writes.

Each belongs to the process that holds the lock of its lock file, and is removed once nobody holds it. A process id
would say less: on a shared disk, another container or machine knows that process under another number, or not at all.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import platform
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PREFIX = "view-"
LOCK = ".lock"
DOUBTED_KEPT_S = 7 * 86400.0
"""Age at which a folder goes whose owner cannot be asked (advisor 0.2, another machine): no run takes a week."""


@dataclass(frozen=True)
class _Owner:
    """Process that made a folder, and the descriptor with which it holds the lock."""

    process: int
    descriptor: int


_made: dict[Path, _Owner] = {}
"""Folders that exist, or may exist, at this moment."""


@contextmanager
def lent(parent: Path) -> Iterator[Path]:
    """Provide a scratch folder until the block is left."""
    folder = make(parent)
    try:
        yield folder
    finally:
        try:
            remove(folder)
        except BaseException:  # Ctrl-C just now: the folder goes all the same
            remove(folder)
            raise


def make(parent: Path) -> Path:
    """Create a folder of this process; its lock is taken before the folder exists."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{PREFIX}{uuid.uuid4().hex[:8]}"  # short: sockets lie in it
        descriptor = os.open(_lock_of(folder), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _made[folder] = _Owner(os.getpid(), descriptor)  # before it exists: a signal may come between any two lines
        if _lock(descriptor) is not False and _lock_of(folder).exists():
            break
        _forget(folder)  # another advisor swept the file before it was locked
    os.write(descriptor, _here())
    folder.mkdir(mode=0o700)
    return folder


def remove(folder: Path) -> None:
    """Delete it, even if the script removed permissions or an overlay left a folder that nobody may enter."""
    shutil.rmtree(folder, onerror=_open_up)
    if not os.path.lexists(folder):  # what is still there belongs to nobody, and the next start sweeps it
        _lock_of(folder).unlink(missing_ok=True)
    _forget(folder)


@atexit.register
def _remove_the_rest() -> None:
    """Remove folders that were left behind when a signal interrupted their creation or deletion."""
    for folder, owner in list(_made.items()):
        if owner.process == os.getpid():
            remove(folder)


def sweep(parent: Path) -> list[Path]:
    """Remove what dead runs left behind; return what was removed."""
    removed = []
    for lock in parent.glob(f"{PREFIX}*{LOCK}"):
        with contextlib.suppress(OSError):
            descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
            try:
                free = _lock(descriptor)
                sure = free is True and _is_from_here(os.read(descriptor, 4096))
                if free is not False and (sure or _is_old(lock)):
                    remove(lock.with_suffix(""))
                    removed.append(lock.with_suffix(""))
            finally:
                os.close(descriptor)
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            if folder.suffix != LOCK and not _lock_of(folder).exists() and _is_old(folder):
                remove(folder)
                removed.append(folder)
    return removed


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK)


def _lock(descriptor: int) -> bool | None:
    """Take the lock; return False if another process holds it, None if this disk has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _here() -> bytes:
    """Return what names this machine, and below it what names its present boot."""
    return b"\n".join(
        (platform.node().encode() + b" " + _content("/etc/machine-id"), _content("/proc/sys/kernel/random/boot_id"))
    )


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes().strip()
    except OSError:
        return b""


def _is_from_here(owner: bytes) -> bool:
    """Return True if a free lock proves the owner's end: some network disks do not show other machines' locks.

    A machine without an id of its own (a container) may share its name with another.
    """
    (machine, _, boot), (machine_then, _, boot_then) = (text.partition(b"\n") for text in (_here(), owner))
    return (boot == boot_then != b"") or (machine == machine_then and not machine.endswith(b" "))


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > DOUBTED_KEPT_S


def _forget(folder: Path) -> None:
    owner = _made.pop(folder, None)
    if owner is not None:
        with contextlib.suppress(OSError):
            os.close(owner.descriptor)


def _open_up(function: Callable[..., Any], path: str, _: Any) -> None:
    for folder in (os.path.dirname(path), path):  # noqa: PTH120
        try:
            if stat.S_ISDIR(os.lstat(folder).st_mode):
                os.chmod(folder, 0o700)  # noqa: PTH101
        except OSError:
            return
    try:
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114
            shutil.rmtree(path, ignore_errors=True)
        else:
            function(path)
    except OSError:
        pass  # the next start sweeps again

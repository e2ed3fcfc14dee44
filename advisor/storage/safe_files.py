"""Files that are written completely or not at all, and read only as far as they can be ours."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import StorageError
from ..spelling import parameter

MOST_DOCUMENT_BYTES = 64 * 2**20
"""Limit on a document: a profile of 2000 updates has about 0.5 MB, a search of 500 trials 0.3 MB more."""
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise StorageError if the disk below `folder` is full or fails, whichever of our files meets the error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise StorageError(f"cannot write in {folder}: {reason_of(error)}. {other_folder()}") from error


def other_folder() -> str:
    return f"Free some space, or choose another folder with {parameter('runs')}"


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` completely or not at all, and flush it to disk before returning.

    The previous content stays unchanged until the new content is complete.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path} ({len(data):,} bytes): {reason_of(error)}. The previous content is unchanged. "
            + other_folder()
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_for_user(path: Path, data: bytes) -> None:
    """Write a file of the user's as `write_atomic` does, readable by whoever the user's umask allows."""
    write_atomic(path, data)
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def read_capped(path: Path, most: int, again: str) -> bytes:
    """Read a regular file of a plausible size; refuse a pipe or a device instead of waiting for it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise StorageError(f"{path} is not a regular file: name a stored run")
            data = file.read(most + 1)
    except FileNotFoundError as error:
        raise StorageError(f"{path} is not there: name a stored run, or {again}") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {reason_of(error)}") from error
    if len(data) > most:
        raise StorageError(
            f"{path} is larger than the {most:,} bytes that are read: this is not a stored run of advisor"
        )
    return data


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; on Windows, folders cannot be opened for this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def reason_of(error: OSError) -> str:
    return error.strerror or str(error)

"""Files of checksummed lines, one record each: a crash costs the last line at most."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import StorageError
from . import documents
from .safe_files import other_folder, read_capped, reason_of, write_atomic

MOST_FILE_BYTES = 256 * 2**20
MOST_RECORD_BYTES = 16 * 2**20
"""Limit on a record: a round of a script with updates of 50 µs has 1 MB."""
_RECORD = re.compile(rb'\{"check":"([0-9a-f]{16})","record":(.*)\}', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class DamagedRecord:
    """Line of a record file that differs from what was written."""

    line: int
    """Line number, counted from 1."""
    why: str
    raw: bytes


@dataclass(frozen=True, kw_only=True)
class Records:
    records: tuple[dict[str, Any], ...]
    damaged: tuple[DamagedRecord, ...] = ()


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append one record to a file of checksummed lines, and flush it to disk before returning.

    After a line torn by an earlier crash, the record starts on a new line. If the disk is full, the file stays
    unchanged. Writers in several processes take turns.
    """
    body = json.dumps(documents.plain(record), separators=(",", ":")).encode("ascii")
    if len(body) > MOST_RECORD_BYTES:
        raise StorageError(f"a record for {path} has {len(body):,} bytes, at most {MOST_RECORD_BYTES:,} are allowed")
    line = b'{"check":"%s","record":%s}\n' % (_check(body), body)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with _locked(descriptor):
                _append_whole(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"cannot add a record to {path}: {reason_of(error)}. The records before it are unchanged. " + other_folder()
        ) from error


def read(path: Path) -> Records:
    """Read all whole records of a file, in order; report torn or corrupted lines, but never use them.

    Damaged lines are also copied to `<name>.damaged` beside the file. The file itself is not changed.
    """
    if not path.exists():
        return Records(records=())
    records: list[dict[str, Any]] = []
    damaged: list[DamagedRecord] = []
    for number, line in enumerate(read_capped(path, MOST_FILE_BYTES, "search again").split(b"\n"), start=1):
        if not line:
            continue
        record = _record(line)
        if isinstance(record, str):
            damaged.append(DamagedRecord(line=number, why=record, raw=line))
        else:
            records.append(record)
    if damaged:
        # A read-only folder must not prevent the use of the whole records.
        with contextlib.suppress(StorageError):
            write_atomic(path.with_name(path.name + ".damaged"), b"\n".join(one.raw for one in damaged) + b"\n")
    return Records(records=tuple(records), damaged=tuple(damaged))


def _record(line: bytes) -> dict[str, Any] | str:
    """Return the record of a line, or the reason why it is not one."""
    if len(line) > MOST_RECORD_BYTES + 64:
        return f"longer than any record ({len(line):,} bytes)"
    match = _RECORD.fullmatch(line)
    if match is None:
        return "not a whole record"
    if _check(match[2]) != match[1]:
        return "its checksum does not match"
    try:
        record = json.loads(match[2])
    except (ValueError, RecursionError) as error:
        return f"not JSON that can be read ({type(error).__name__})"
    return record if isinstance(record, dict) else "not an object"


def _append_whole(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
    data = b"\n" + line if torn else line
    try:
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:  # Windows has no flock; one writer a file is what is supported there.
        yield
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode("ascii")

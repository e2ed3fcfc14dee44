"""Storage of runs: one folder per run, written so that no partial file ever has its final name.

A stored file may have been truncated, corrupted or forged. Sizes are therefore capped, checksums compared and types
validated, and nothing stored is ever executed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import StorageError, UsageError
from ..spelling import parameter
from ..types import Profile, TuneResult
from . import documents, format_1

PROFILE_FILE = "profile.json"
TUNE_FILE = "tune.json"
GIVEN_UP_FILE = "settings-given-up.jsonl"
MOST_DOCUMENT_BYTES = 64 * 2**20
"""Limit on a document: a profile of 2000 updates has about 0.5 MB, a search of 500 trials 0.3 MB more."""
MOST_RECORD_FILE_BYTES = 256 * 2**20
MOST_RECORD_BYTES = 2**20
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG})
_RECORD = re.compile(rb'\{"check":"([0-9a-f]{16})","record":(.*)\}', re.DOTALL)
_RUN_NAME = re.compile(r"\d{8}-\d{6}-\d{6}-[A-Za-z0-9._-]{1,60}-[0-9a-f]{6}")
_NAMES_TRIED = 100
FORMAT = 2
"""Version of the stored documents; 1 is that of advisor 0.1."""
PROFILE_KIND = documents.Kind(
    type=Profile, name="profile", version=FORMAT, again="profile again", upgraded=format_1.profile
)
TUNE_KIND = documents.Kind(type=TuneResult, name="search", version=FORMAT, again="tune again", upgraded=format_1.search)


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Folder of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def profile_path(self) -> Path:
        return self.path / PROFILE_FILE

    @property
    def has_profile(self) -> bool:
        return self.profile_path.is_file()

    @property
    def tune_path(self) -> Path:
        return self.path / TUNE_FILE

    @property
    def has_tune(self) -> bool:
        return self.tune_path.is_file()


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


def runs_root(explicit: Path | None = None) -> Path:
    """Return the folder that holds the runs: `explicit` (`--runs DIR`), else the user's state folder."""
    if explicit is not None:
        return explicit.absolute()  # a script may be started in another folder
    state = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification says to ignore relative paths.
    base = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "advisor" / "runs"


def given_up_path() -> Path:
    """Return the file that records the settings real trainings could not use, and why.

    It lies in the user's state folder and holds one JSON object per line.
    """
    return runs_root().parent / GIVEN_UP_FILE


def new_run(root: Path, label: str) -> RunFolder:
    """Create a new folder below `root` that nobody else has, readable only by its owner.

    Its name starts with the time in UTC, so that names sort in the order of the runs.
    """
    word = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(label).stem).strip("-.")[:40] or "run"
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for _ in range(_NAMES_TRIED):
            moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            path = root / f"{moment}-{word}-{secrets.token_hex(3)}"
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
                return RunFolder(path=path)
    except OSError as error:
        raise StorageError(
            f"cannot create a run folder in {root}: {_reason(error)}; choose another with {parameter('runs')}"
        ) from error
    raise StorageError(f"cannot create a run folder in {root}: {_NAMES_TRIED} names are all taken")


def list_runs(root: Path) -> tuple[RunFolder, ...]:
    """Return the runs below `root`, the newest first; none if the folder does not exist."""
    try:
        names = sorted((entry.name for entry in os.scandir(root) if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"cannot list the runs in {root}: {_reason(error)}") from error
    return tuple(RunFolder(path=root / name) for name in names if _RUN_NAME.fullmatch(name))


def latest_search(root: Path) -> RunFolder:
    """Return the newest run that holds a search; raise UsageError if there is none."""
    for run in list_runs(root):
        if run.has_tune:
            return run
    named = parameter("runs")
    raise UsageError(
        f"no stored search in {root}: create one with `advisor tune SCRIPT`, or name the folder with {named}"
    )


def latest_run(root: Path) -> RunFolder:
    """Return the newest run that holds a profile; raise UsageError if there is none."""
    for run in list_runs(root):
        if run.has_profile:
            return run
    raise UsageError(
        f"no stored run in {root}: create one with `advisor profile SCRIPT`, or name the folder with "
        f"{parameter('runs')}"
    )


def find_run(name: str, root: Path) -> RunFolder:
    """Find the run for `name`: `latest`, a path (of the folder or its profile), or a unique part of a run's id.

    The name of the profile's file may follow an id, too.

    Raises UsageError for a name that matches no run, or several.
    """
    if name.removesuffix(f"/{PROFILE_FILE}") == "latest":
        return latest_run(root)
    path = Path(name)
    if path.is_file():
        return RunFolder(path=path.resolve().parent)
    if path.is_dir():
        return RunFolder(path=path.resolve())
    name = name.removesuffix(f"/{PROFILE_FILE}")
    runs = list_runs(root)
    matches = [run for run in runs if run.run_id.startswith(name)] or [
        run for run in runs if name and name in run.run_id
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UsageError(f"{name!r} means {len(matches)} runs, the newest {matches[0].run_id}: give more of the id")
    known = f"the newest is {runs[0].run_id}" if runs else "there is none yet"
    raise UsageError(f"no run {name!r} in {root} ({known}): give `latest`, part of a run's id, or a path")


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raise StorageError if the disk below `folder` is full or fails, whichever of our files meets the error."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        raise StorageError(f"cannot write in {folder}: {_reason(error)}. {_other_folder()}") from error


def _other_folder() -> str:
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
            f"cannot write {path} ({len(data):,} bytes): {_reason(error)}. The previous content is unchanged. "
            + _other_folder()
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


def save_profile(profile: Profile, folder: RunFolder) -> Path:
    """Write the profile into its run's folder; return the file."""
    write_atomic(folder.profile_path, encoded_profile(profile))
    return folder.profile_path


def encoded_profile(profile: Profile) -> bytes:
    """Return the profile as it is stored, without its run's folder."""
    return documents.encoded_result(profile, PROFILE_KIND)


def decoded_profile(data: bytes, place: Path) -> Profile:
    """Return a profile that another process has stored, checking it as `load_profile` does; `place` is for errors."""
    return documents.decoded_result(data, PROFILE_KIND, place)


def load_profile(path: Path) -> Profile:
    """Load the profile stored in `path` (its file or its run's folder), checking everything from checksum to types."""
    file = path / PROFILE_FILE if path.is_dir() else path
    data = read_capped(file, MOST_DOCUMENT_BYTES, PROFILE_KIND.again)
    return documents.decoded_result(data, PROFILE_KIND, file)


def save_tune(result: TuneResult, folder: RunFolder) -> Path:
    """Write the whole search, including its profile, into its run's folder; return the file."""
    write_atomic(folder.tune_path, documents.encoded_result(result, TUNE_KIND))
    return folder.tune_path


def load_tune(path: Path) -> TuneResult:
    """Load the search stored in `path` (its file or its run's folder), checking it as a profile is checked."""
    file = path / TUNE_FILE if path.is_dir() else path
    return documents.decoded_result(read_capped(file, MOST_DOCUMENT_BYTES, TUNE_KIND.again), TUNE_KIND, file)


def append_record(path: Path, record: Mapping[str, Any]) -> None:
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
            f"cannot add a record to {path}: {_reason(error)}. The records before it are unchanged. " + _other_folder()
        ) from error


def read_records(path: Path) -> Records:
    """Read all whole records of a file, in order; report torn or corrupted lines, but never use them.

    Damaged lines are also copied to `<name>.damaged` beside the file. The file itself is not changed.
    """
    if not path.exists():
        return Records(records=())
    records: list[dict[str, Any]] = []
    damaged: list[DamagedRecord] = []
    for number, line in enumerate(read_capped(path, MOST_RECORD_FILE_BYTES).split(b"\n"), start=1):
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


def read_capped(path: Path, most: int, again: str = PROFILE_KIND.again) -> bytes:
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
        raise StorageError(f"cannot read {path}: {_reason(error)}") from error
    if len(data) > most:
        raise StorageError(
            f"{path} is larger than the {most:,} bytes that are read: this is not a stored run of advisor"
        )
    return data


def _check(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest()[:16].encode("ascii")


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; on Windows, folders cannot be opened for this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

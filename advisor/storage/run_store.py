"""Storage of runs: one folder per run, with the profile and the search that it holds.

A stored file may have been truncated, corrupted or forged. Sizes are therefore capped, checksums compared and types
validated, and nothing stored is ever executed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import StorageError, UsageError
from ..spelling import parameter
from ..types import Profile, TuneResult
from . import documents, format_1
from .safe_files import MOST_DOCUMENT_BYTES, read_capped, reason_of, write_atomic

PROFILE_FILE = "profile.json"
TUNE_FILE = "tune.json"
GIVEN_UP_FILE = "settings-given-up.jsonl"
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
            f"cannot create a run folder in {root}: {reason_of(error)}; choose another with {parameter('runs')}"
        ) from error
    raise StorageError(f"cannot create a run folder in {root}: {_NAMES_TRIED} names are all taken")


def list_runs(root: Path) -> tuple[RunFolder, ...]:
    """Return the runs below `root`, the newest first; none if the folder does not exist."""
    try:
        names = sorted((entry.name for entry in os.scandir(root) if entry.is_dir()), reverse=True)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StorageError(f"cannot list the runs in {root}: {reason_of(error)}") from error
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

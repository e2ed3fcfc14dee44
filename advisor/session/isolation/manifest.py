"""What a folder holds, so that two moments can be compared."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

HASHED_BYTES = 256 << 20
"""Contents are hashed up to this much in all (under a second); the rest is compared by size and time of change."""
ENTRIES = 50_000
"""Above this a comparison costs seconds on a slow disk and is left out."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file, folder or link."""

    mode: int
    size_bytes: int
    changed_ns: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The state of a folder at one moment."""

    folder: Path
    entries: dict[str, Entry]
    complete: bool
    """False where the folder has more than `ENTRIES` entries: then nothing can be said."""

    def changed_since(self, before: Manifest) -> tuple[str, ...]:
        """`created x`, `deleted y`, `modified z`, sorted by name."""
        names = sorted(self.entries.keys() | before.entries.keys())
        words = {name: _compare(before.entries.get(name), self.entries.get(name)) for name in names}
        return tuple(f"{word} {name}" for name, word in words.items() if word)


def take(folder: Path, *, skip: tuple[Path, ...] = ()) -> Manifest:
    """Walks the folder; links are not followed, `skip` (our own scratch) is left out."""
    entries: dict[str, Entry] = {}
    left_bytes = HASHED_BYTES
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = [name for name in folders if here / name not in skip]
        for name in (*folders, *files):
            path = here / name
            try:
                seen = path.lstat()
                digest = _digest(path, seen, left_bytes)
            except OSError:
                continue  # gone or unreadable: the script cannot have read it either
            if digest and stat.S_ISREG(seen.st_mode):
                left_bytes -= seen.st_size
            is_folder = stat.S_ISDIR(seen.st_mode)  # a folder's time and size change with what is in it
            entries[str(path.relative_to(folder))] = Entry(
                mode=seen.st_mode,
                size_bytes=0 if is_folder else seen.st_size,
                changed_ns=0 if is_folder else seen.st_mtime_ns,
                digest=digest,
            )
        if len(entries) > ENTRIES:
            return Manifest(folder=folder, entries={}, complete=False)
    return Manifest(folder=folder, entries=entries, complete=True)


def _digest(path: Path, seen: os.stat_result, left_bytes: int) -> str:
    if stat.S_ISLNK(seen.st_mode):
        return str(path.readlink())
    if not stat.S_ISREG(seen.st_mode) or seen.st_size > left_bytes:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _compare(before: Entry | None, after: Entry | None) -> str:
    if before is None:
        return "created"
    if after is None:
        return "deleted"
    return "" if before == after else "modified"

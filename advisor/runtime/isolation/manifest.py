"""Content of a folder at one moment, for comparison with another."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

HASHED_BYTES = 256 << 20
"""Limit on hashed content in all (under a second); the rest is compared by size and modification time."""
ENTRIES = 50_000
"""Limit on entries: comparing more would take seconds on a slow disk, so it is skipped."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """File, folder or link."""

    mode: int
    size_bytes: int
    changed_ns: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """State of a folder at one moment."""

    entries: dict[str, Entry]
    complete: bool
    """False if the folder has more than `ENTRIES` entries: then nothing can be said."""

    def changed_since(self, before: Manifest) -> tuple[str, ...]:
        """Return the changes, such as `created x`, `deleted y` or `modified z`, sorted by name."""
        names = sorted(self.entries.keys() | before.entries.keys())
        words = {name: _compare(before.entries.get(name), self.entries.get(name)) for name in names}
        return tuple(f"{word} {name}" for name, word in words.items() if word)


def take(folder: Path, *, skip: tuple[Path, ...] = ()) -> Manifest:
    """Take a manifest of the folder, without following links and without `skip` (our own scratch)."""
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
                continue  # vanished or unreadable: the script cannot have read it either
            if digest and stat.S_ISREG(seen.st_mode):
                left_bytes -= seen.st_size
            is_folder = stat.S_ISDIR(seen.st_mode)  # a folder's time and size change with its content
            entries[str(path.relative_to(folder))] = Entry(
                mode=seen.st_mode,
                size_bytes=0 if is_folder else seen.st_size,
                changed_ns=0 if is_folder else seen.st_mtime_ns,
                digest=digest,
            )
        if len(entries) > ENTRIES:
            return Manifest(entries={}, complete=False)
    return Manifest(entries=entries, complete=True)


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

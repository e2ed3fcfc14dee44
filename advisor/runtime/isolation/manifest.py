"""State of a folder at one moment, for comparison with another.

Content is not read: a change of it changes the file's `ctime`, which no script can set back.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

ENTRIES = 50_000
"""Limit on entries: comparing more would take seconds on a slow disk, so it is skipped."""
LINKED_ENTRIES = 5_000
"""The same for each folder outside that a link leads to, since most of them hold data sets."""
ALL = "."
"""Name of the folder itself."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """File, folder or link."""

    mode: int
    owner: tuple[int, int]
    size_bytes: int
    changed_ns: tuple[int, int]
    """Times of the content, and of content, name and attributes."""
    aim: str
    """Aim of a link."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """State of a folder at one moment."""

    entries: dict[str, Entry] = field(default_factory=dict)
    too_large: frozenset[str] = frozenset()
    """Folders of which nothing can be said, because they hold too many entries."""

    def changed_since(self, before: Manifest) -> tuple[str, ...]:
        """Return the changes, such as `created x`, `deleted y` or `modified z`, sorted by name."""
        names = sorted(self.entries.keys() | before.entries.keys())
        words = {name: _compare(before.entries.get(name), self.entries.get(name)) for name in names}
        uncertain = self.too_large | before.too_large
        return tuple(
            f"{word} {name}" for name, word in words.items() if word and not any(_is_in(name, top) for top in uncertain)
        )


def take(folder: Path, *, skip: tuple[Path, ...] = (), absolute: bool = False) -> Manifest:
    """Take a manifest of the folder, and of what its links lead to elsewhere, without `skip` (our own scratch).

    Names in the folder are relative unless `absolute` is set; those elsewhere are absolute.
    """
    return _Taker(folder, skip, absolute).take()


class _Taker:
    """Walk through a folder and the places that its links lead to, each once."""

    def __init__(self, folder: Path, skip: tuple[Path, ...], absolute: bool) -> None:
        self._folder = folder
        self._skip = skip
        self._absolute = absolute
        self._entries: dict[str, Entry] = {}
        self._too_large: set[str] = set()
        self._linked: list[Path] = []

    def take(self) -> Manifest:
        self._walk(self._folder, ENTRIES)
        for place in self._linked:  # grows: what lies there may hold links, too
            if place.is_dir():
                self._walk(place, LINKED_ENTRIES)
            else:
                self._note(place, self._entries)
        return Manifest(entries=self._entries, too_large=frozenset(self._too_large))

    def _walk(self, top: Path, most: int) -> None:
        found: dict[str, Entry] = {}
        for root, folders, files in os.walk(top):
            here = Path(root)
            folders[:] = [name for name in folders if here / name not in self._skip]
            for name in (*folders, *files):
                self._note(here / name, found)
            if len(found) > most:
                self._too_large.add(ALL if top == self._folder else str(top))
                return
        self._entries |= found

    def _note(self, path: Path, found: dict[str, Entry]) -> None:
        try:
            seen = path.lstat()
            is_link = stat.S_ISLNK(seen.st_mode)
            aim = str(path.readlink()) if is_link else ""
        except OSError:
            return  # vanished: another program works there, too
        if is_link:
            self._follow(path)
        is_folder = stat.S_ISDIR(seen.st_mode)  # a folder's times and size change with its content
        inside = path.is_relative_to(self._folder) and not self._absolute
        found[str(path.relative_to(self._folder) if inside else path)] = Entry(
            mode=seen.st_mode,
            owner=(seen.st_uid, seen.st_gid),
            size_bytes=0 if is_folder else seen.st_size,
            changed_ns=(0, 0) if is_folder else (seen.st_mtime_ns, seen.st_ctime_ns),
            aim=aim,
        )

    def _follow(self, link: Path) -> None:
        place = Path(os.path.realpath(link))  # Path.resolve raises for links in a circle
        known = any(place.is_relative_to(path) for path in (self._folder, *self._linked, *self._skip))
        holds_it = self._folder.is_relative_to(place)
        if not known and not holds_it and not (place / "pyvenv.cfg").is_file():
            self._linked.append(place)


def _is_in(name: str, top: str) -> bool:
    return name == top or name.startswith(top + "/") or (top == ALL and not name.startswith("/"))


def _compare(before: Entry | None, after: Entry | None) -> str:
    if before is None:
        return "created"
    if after is None:
        return "deleted"
    return "" if before == after else "modified"

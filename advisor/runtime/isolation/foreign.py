"""Files of other owners that a plain user may write to: those of another of their groups, or of a colleague.

In a user namespace the kernel knows no owner but the user. It refuses to copy such a file to the upper layer at the
first write (EOVERFLOW), and to make one in such a folder. Their copies in the upper layer belong to the user.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WALKED_ENTRIES = 5000
"""Limit on the entries of a project that are looked at, which takes a hundredth of a second."""
COPIED_BYTES = 128 << 20
"""Limit on the copied files of all views, a tenth of a second's work."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """File or folder that the user may write to."""

    path: Path
    is_folder: bool
    size_bytes: int
    owner: tuple[int, int]

    @property
    def is_foreign(self) -> bool:
        return self.owner != (os.geteuid(), os.getegid())


def entries(project: Path, *, skip: tuple[Path, ...] = ()) -> Iterator[Entry]:
    """Yield what the user may write to in a project, the outermost first, as far as it is looked at."""
    seen = 0
    waiting = [project]
    for folder in waiting:  # grows while it is walked
        try:
            with os.scandir(folder) as scanned:
                found = sorted(scanned, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in found:
            seen += 1
            if seen > WALKED_ENTRIES:
                return
            path = Path(entry.path)
            is_folder = entry.is_dir(follow_symlinks=False)
            if path in skip or not (is_folder or entry.is_file(follow_symlinks=False)):
                continue
            if is_folder and (path / "pyvenv.cfg").exists():
                continue
            if is_folder:
                waiting.append(path)
            if os.access(path, os.W_OK):
                status = entry.stat(follow_symlinks=False)
                owner = (status.st_uid, status.st_gid)
                yield Entry(path=path, is_folder=is_folder, size_bytes=status.st_size, owner=owner)


def split(found: list[Entry]) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the foreign folders, the foreign files to copy, the smallest first, and those too large for it."""
    foreign = [entry for entry in found if entry.is_foreign]
    copied: list[Path] = []
    left: list[Path] = []
    left_bytes = COPIED_BYTES
    for entry in sorted((one for one in foreign if not one.is_folder), key=lambda one: one.size_bytes):
        if entry.size_bytes <= left_bytes and os.access(entry.path, os.R_OK):
            left_bytes -= entry.size_bytes
            copied.append(entry.path)
        else:
            left.append(entry.path)
    return [entry.path for entry in foreign if entry.is_folder], copied, left

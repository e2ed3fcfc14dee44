"""Folders that a plain user's view holds as copies.

In a user namespace, the kernel refuses to rename a folder that exists below an overlay (EXDEV). It may not record
there where the folder came from. A copy in the upper layer that hides the lower one can be renamed. The project's
small folders are therefore copied there, but not code, which no training renames. Renaming another one fails.
"""

from __future__ import annotations

import os
from pathlib import Path

COPIED_BYTES = 128 << 20
COPIED_ENTRIES = 2000
"""Limit on copied entries; with that on bytes, copying takes half a second at most per script run."""


def small_folders(project: Path, *, skip: tuple[Path, ...] = ()) -> list[Path]:
    """Return the project's folders to copy, the smallest first, each with all its content."""
    found = sorted((*size, folder) for folder, size in _sizes(project, skip).items() if size is not None)
    chosen: list[Path] = []
    entries_left, bytes_left = COPIED_ENTRIES, COPIED_BYTES
    for size_bytes, entries, folder in found:
        if size_bytes <= bytes_left and entries <= entries_left:
            bytes_left, entries_left = bytes_left - size_bytes, entries_left - entries
            chosen.append(folder)
    return chosen


def _sizes(project: Path, skip: tuple[Path, ...]) -> dict[Path, tuple[int, int] | None]:
    """Return the sizes of folders directly in the project, and of those in a too large folder; None if too large."""
    sizes: dict[Path, tuple[int, int] | None] = {}
    waiting = [project]
    for folder in waiting:  # grows while it is walked, one level for each folder that is too large, three at most
        for child in _folders(folder):
            if child in skip or (child / "pyvenv.cfg").exists() or child.name.startswith("."):
                continue
            sizes[child] = None if _is_code(child) else size_of(child, skip)
            if sizes[child] is None and len(child.relative_to(project).parts) < 3 and len(waiting) < 50:
                waiting.append(child)
    return sizes


def _is_code(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".py") for entry in entries)
    except OSError:
        return False


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def size_of(folder: Path, skip: tuple[Path, ...]) -> tuple[int, int] | None:
    """Return the bytes and entries of a folder; None if it is too large to copy, or holds what cannot be copied."""
    size_bytes = entries = 0
    device = folder.stat().st_dev
    for root, folders, files in os.walk(folder):
        here = Path(root)
        entries += len(folders) + len(files)
        if any(here / name in skip for name in folders) or here.stat().st_dev != device:
            return None
        for name in files:
            path = here / name
            if not path.is_symlink() and (not path.is_file() or not os.access(path, os.R_OK)):
                return None  # a socket, a pipe or a secret, which must not be copied
            size_bytes += path.lstat().st_size
        if size_bytes > COPIED_BYTES or entries > COPIED_ENTRIES:
            return None
    return size_bytes, entries

"""Scratch folders, in which a view keeps what the script writes.

Each belongs to one process and is removed once that process is gone.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

PREFIX = "view-"
_made: dict[Path, int] = {}
"""Folders that exist, or may exist, at this moment, with the process that made them."""


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
    """Create a folder whose name identifies its owner: process id and start time."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{uuid.uuid4().hex[:8]}"
    _made[folder] = os.getpid()  # before it exists: a signal may come between any two lines
    folder.mkdir(mode=0o700)
    return folder


def remove(folder: Path) -> None:
    """Delete it, even if the script removed permissions or an overlay left a folder that nobody may enter."""
    shutil.rmtree(folder, onerror=_open_up)
    _made.pop(folder, None)


@atexit.register
def _remove_the_rest() -> None:
    """Remove folders that were left behind when a signal interrupted their creation or deletion."""
    for folder, maker in list(_made.items()):
        if maker == os.getpid():
            remove(folder)


def sweep(parent: Path) -> list[Path]:
    """Remove what dead runs left behind; return what was removed."""
    removed = []
    for folder in parent.glob(PREFIX + "*") if parent.is_dir() else ():
        parts = folder.name.split("-")
        if len(parts) >= 4 and parts[1].isdigit() and _started(int(parts[1])) != parts[2]:
            remove(folder)
            removed.append(folder)
    return removed


def _started(pid: int) -> str:
    try:
        return str(int(psutil.Process(pid).create_time() * 100))
    except psutil.Error:
        return ""


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

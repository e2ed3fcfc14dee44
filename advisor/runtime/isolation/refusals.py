"""Failures of a script that its view causes: outside of it, the same call would have succeeded."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ...spelling import parameter
from ._base import Isolation, View
from .promises import Level

_ERROR = re.compile(r"\[Errno (\d+)\]|failed with strerror: ([\w -]+)")
"""Errors of Python, and of `torch.save`."""
_TORCH_WRITING = re.compile(r"inline_container\.cc|PytorchStreamWriter|basic_ios::clear")
"""Errors of `torch.save` while it writes, which do not say why."""
_PATH = re.compile(r"'([^']+)'")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONG_SOCKET_PATH = "AF_UNIX path too long"
"""Error of a socket in the temporary folder, such as that of `forkserver`; a path of one holds 107 bytes at most."""
_NEARLY_FULL_BYTES = 64 << 20
_NUMBERS = {
    os.strerror(number): number
    for number in (errno.EACCES, errno.EROFS, errno.EXDEV, errno.EOVERFLOW, errno.ENOSPC, errno.EDQUOT)
}


def number_of(text: str) -> int | None:
    """Return the number of the system's error that a line names; None if there is none."""
    match = _ERROR.search(text)
    if match is None:
        return None
    return int(match[1]) if match[1] else _NUMBERS.get(match[2])


def is_full(texts: Iterable[str], isolation: Isolation) -> bool:
    """Return True if a disk was full, by these errors of the script."""
    return any(number_of(text) in _FULL or (_TORCH_WRITING.search(text) and _is_full(isolation)) for text in texts)


def words(texts: Iterable[str], isolation: Isolation, view: View) -> str:
    """Say what the view has to do with an error of the script, to be added to it; an empty string if nothing."""
    for text in texts:
        if is_full([text], isolation):
            return _words_of_full(isolation, view)
        if _LONG_SOCKET_PATH in text and (temporary := view.env.get("TMPDIR")):
            return (
                f" (advisor's temporary folder for the script, {temporary}, has a long name: choose a shorter folder "
                f"with {parameter('runs')})"
            )
        why = _why(text, isolation, view)
        if why:
            return f" ({why}; outside of advisor's view this works: {parameter('isolation', 'copy')} does without one)"
    return ""


def _is_full(isolation: Isolation) -> bool:
    try:
        return shutil.disk_usage(isolation.scratch).free < _NEARLY_FULL_BYTES
    except OSError:
        return False


def _words_of_full(isolation: Isolation, view: View) -> str:
    if isolation.level is Level.NONE:
        return ""
    memory_bytes = view.keeper.get("view", {}).get("memory_bytes")
    if memory_bytes:
        return (
            f" (advisor keeps in memory what the script writes, at most {memory_bytes / 2**30:.1f} GiB, because its "
            f"scratch folder {isolation.scratch} cannot hold it: choose one on another disk with {parameter('runs')})"
        )
    free_bytes = shutil.disk_usage(isolation.scratch).free
    return (
        f" (advisor keeps what the script writes in its scratch folder {isolation.scratch}, now "
        f"{_held_bytes(view.scratch) / 2**30:.2f} GiB with {free_bytes / 2**30:.2f} GiB free: choose a disk with more "
        f"room with {parameter('runs')})"
    )


def _held_bytes(folder: Path) -> int:
    held = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                held += (Path(root) / name).lstat().st_blocks * 512
            except OSError:
                continue
    return held


def _why(text: str, isolation: Isolation, view: View) -> str:
    number, level = number_of(text), isolation.level
    paths = [view.cwd / path for path in _PATH.findall(text)]
    as_user = view.keeper.get("view", {}).get("user_namespace", False)
    if as_user and number == errno.EOVERFLOW:
        return "as a plain user, a file or folder of another user or group cannot be changed in the view"
    if number == errno.EXDEV and level is not Level.COPY and _same_disk(paths):
        return "a folder from outside the project cannot be renamed in the view"
    if number == errno.EROFS and level in (Level.OVERLAY, Level.LANDLOCK) and _writable(paths):
        return "this place is read-only in the view"
    if number == errno.EACCES and level in (Level.LANDLOCK, Level.LANDLOCK_ALONE) and _writable(paths):
        return "this level of isolation refuses writes outside the project"
    return ""


def _writable(paths: list[Path]) -> bool:
    """Return True if the user may write there outside the view; True if the error does not say where."""
    return all(os.access(path if path.exists() else path.parent, os.W_OK) for path in paths)


def _same_disk(paths: list[Path]) -> bool:
    try:
        return len({path.parent.stat().st_dev for path in paths}) == 1
    except OSError:
        return False

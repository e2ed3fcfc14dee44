"""Copy of a project folder, made for every script run: by strings, since `Path` takes as long as the disk."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from pathlib import Path

from ...errors import IsolationError
from ...spelling import parameter
from .renamable import size_of

FICLONE = 0x40049409
"""Ioctl that shares the blocks of another file until one of them is written (btrfs, xfs)."""
LARGE_BYTES = 64 << 20
"""Size above which Landlock counts a file as large, more often a data set than a checkpoint."""
LARGE_COPIED_BYTES = 1 << 30
"""Limit on the large files that Landlock copies, half a second's work; others become links, which are read-only."""
LINKED_COPIED_BYTES = 128 << 20
"""Limit on what links lead to outside the project and is copied in their place; a tenth of a second's work."""
COPY_LIMIT_BYTES = 4 << 30
"""Limit on a project folder: a larger one takes minutes to copy, for each script run again."""


class Copier:
    """Copy of a project with times, modes and links, sharing blocks if the disk can."""

    def __init__(self, project: Path, *, skip: tuple[Path, ...], large_bytes: int | None) -> None:
        """Set up the copy; beyond `large_bytes` of them, large files become links. None copies them all."""
        self.project = project
        self.notes: list[str] = []
        self._skip = skip
        self._skipped = {str(path) for path in skip}
        self._large_left_bytes = large_bytes
        self._linked_left_bytes = LINKED_COPIED_BYTES
        self._large: list[tuple[int, str, str]] = []
        self._copied_bytes = 0

    def copy(self, target: Path) -> None:
        """Copy the project to `target`; raise IsolationError if it is too large."""
        self._folder(str(self.project), str(target), (self.project, target))
        for size_bytes, source, there in sorted(self._large):
            self._large_file(size_bytes, source, there)

    def _folder(self, source: str, target: str, tops: tuple[Path, Path]) -> None:
        os.mkdir(target)
        for entry in _entries(source):
            if entry.path in self._skipped:
                continue
            there = f"{target}/{entry.name}"
            if entry.is_symlink():
                self._link(Path(entry.path), Path(there), tops)
            elif entry.is_dir(follow_symlinks=False):
                if os.path.isfile(f"{entry.path}/pyvenv.cfg"):  # gigabytes that training only reads
                    os.symlink(entry.path, there)
                else:
                    self._folder(entry.path, there, tops)
            elif entry.is_file(follow_symlinks=False):  # sockets and pipes belong to the process that made them
                self._file(entry, there)
        shutil.copystat(source, target)
        os.chmod(target, os.stat(target).st_mode | stat.S_IRWXU)

    def _file(self, entry: os.DirEntry[str], target: str) -> None:
        size_bytes = entry.stat(follow_symlinks=False).st_size
        if self._large_left_bytes is not None and size_bytes > LARGE_BYTES:
            self._large.append((size_bytes, entry.path, target))
            return
        _copy_file(entry.path, target)
        self._copied_bytes += size_bytes
        if self._copied_bytes > COPY_LIMIT_BYTES:
            raise IsolationError(
                f"{self.project} holds more than {COPY_LIMIT_BYTES >> 30} GiB, too much to copy: "
                f"keep data outside the project folder, or choose another {parameter('isolation')}"
            )

    def _large_file(self, size_bytes: int, source: str, target: str) -> None:
        assert self._large_left_bytes is not None
        if _copy_file(source, target, only_shared=True):
            return
        if size_bytes <= self._large_left_bytes:
            self._large_left_bytes -= size_bytes
            _copy_file(source, target)
            return
        os.symlink(source, target)
        self.notes.append(f"{source} is too large to copy: it is read-only in the view")

    def _link(self, source: Path, target: Path, tops: tuple[Path, Path]) -> None:
        """Copy a link, or what it leads to if that is small and lies elsewhere: the script may write through it.

        An absolute link within the copied folder leads into the copy. A relative one that leads out is made absolute.
        """
        aim = source.readlink()
        outside = Path(os.path.realpath(source.parent / aim))  # Path.resolve raises for links in a circle
        if outside.is_relative_to(tops[0]):
            target.symlink_to(tops[1] / outside.relative_to(tops[0]) if aim.is_absolute() else aim)
        elif not self._brought_in(outside, target):
            target.symlink_to(aim if aim.is_absolute() else outside)

    def _brought_in(self, outside: Path, target: Path) -> bool:
        """Copy what a link leads to, if it may be written to and is small enough; return False if not."""
        holds_ours = any(path.is_relative_to(outside) for path in (self.project, *self._skip))
        if holds_ours or os.path.isfile(outside / "pyvenv.cfg") or not os.access(outside, os.R_OK | os.W_OK):
            return False
        if outside.is_dir():
            size = size_of(outside, self._skip)
        else:
            size = (outside.stat().st_size, 1) if outside.is_file() else None
        if size is None or size[0] > self._linked_left_bytes:
            return False
        self._linked_left_bytes -= size[0]
        if outside.is_dir():
            self._folder(str(outside), str(target), (outside, target))
        else:
            _copy_file(str(outside), str(target))
        return True


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [*entries]
    except OSError:
        return []  # closed to the user, and so to the script


def _copy_file(source: str, target: str, *, only_shared: bool = False) -> bool:
    """Copy a file, sharing its blocks where the disk can; return False if it cannot and only that was asked for."""
    old = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.ioctl(new, FICLONE, old)
        except OSError:
            if only_shared:
                os.unlink(target)
                return False
            while os.sendfile(new, old, None, 1 << 30):
                pass
        finally:
            os.close(new)
    finally:
        os.close(old)
    shutil.copystat(source, target)
    return True

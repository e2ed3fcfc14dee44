"""Tiers 2 and 3: the project folder is copied, and the script works in the copy."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from ...errors import IsolationError
from ...spelling import parameter
from . import keeper_view, manifest
from ._base import Isolation, View

FICLONE = 0x40049409
"""Ioctl that shares the blocks of another file until one of them is written (btrfs, xfs)."""
LINKED_BYTES = 64 << 20
"""Size above which Landlock links files: data sets are only read, and writing through the link is refused."""
COPY_LIMIT_BYTES = 4 << 30
"""Limit on a project folder: a larger one takes minutes to copy, for each script run again."""


class Landlock(Isolation):
    """Tier in which the kernel refuses every write outside the copy, the scratch folder and devices."""

    name: ClassVar[str] = "landlock"
    protects: ClassVar[bool] = True
    promise = "the script ran in a copy of the project folder, and the kernel denied all writes elsewhere"

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        if (version := keeper_view.landlock_version()) < keeper_view.LANDLOCK_MINIMUM:
            raise IsolationError(
                f"the kernel has version {version} of Landlock, and {keeper_view.LANDLOCK_MINIMUM} is required"
            )
        copy, temporary = folder / "project", folder / "tmp"
        copy_folder(self.project, copy, skip=(self.scratch, *writable), link_large=True)
        temporary.mkdir()
        proc = Path("/proc" if os.geteuid() else "/proc/self")  # root could change the machine in /proc/sys
        allowed = [copy, temporary, Path("/dev"), proc, *writable]
        yield View(
            cwd=_moved(cwd, self.project, copy),
            keeper={"landlock": [str(path) for path in allowed]},
            scratch=folder,
            env={
                name: str(temporary)
                for name in ("TMPDIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "MPLCONFIGDIR")
            },
            moved=(self.project, copy),
        )


class Copy(Isolation):
    """Tier in which nothing stops writes to absolute paths; the folder is compared afterwards."""

    name: ClassVar[str] = "copy"
    protects: ClassVar[bool] = False
    promise = (
        "UNPROTECTED: the script ran in a copy of the project folder; the folder itself was compared before and after"
    )

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        copy = folder / "project"
        copy_folder(self.project, copy, skip=(self.scratch, *writable), link_large=False)
        view = View(cwd=_moved(cwd, self.project, copy), keeper={}, scratch=folder, moved=(self.project, copy))
        yield from detect(view, self.project, skip=(self.scratch, *writable))


class Unprotected(Isolation):
    """Tier in which the script runs in place."""

    name: ClassVar[str] = "none"
    protects: ClassVar[bool] = False
    promise = "UNPROTECTED: the script ran on your files; the project folder was compared before and after"

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        yield from detect(View(cwd=cwd, keeper={}, scratch=folder), self.project, skip=(self.scratch, *writable))


def detect(view: View, project: Path, *, skip: tuple[Path, ...]) -> Iterator[View]:
    """Yield the view, and record in it what the script changed in the project folder."""
    before = manifest.take(project, skip=skip)
    yield view
    after = manifest.take(project, skip=skip)
    if before.complete and after.complete:
        view.changed_files = after.changed_since(before)
    else:
        view.notes += (f"{project} has more than {manifest.ENTRIES} entries and was not compared",)


def copy_folder(source: Path, target: Path, *, skip: tuple[Path, ...], link_large: bool) -> None:
    """Copy a project with times, modes and links, sharing blocks if the disk can."""
    total = 0
    for root, folders, files in os.walk(source):
        here, there = Path(root), target / Path(root).relative_to(source)
        there.mkdir()
        folders[:] = [
            name
            for name in folders
            if here / name not in skip and not _linked_folder(here / name, there / name, source)
        ]
        for name in files:
            if (here / name) in skip:
                continue
            total += _copy_entry(here / name, there / name, source, link_large)
            if total > COPY_LIMIT_BYTES:
                raise IsolationError(
                    f"{source} holds more than {COPY_LIMIT_BYTES >> 30} GiB, too much to copy: "
                    f"keep data outside the project folder, or choose another {parameter('isolation')}"
                )
        shutil.copystat(here, there)
        there.chmod(there.stat().st_mode | stat.S_IRWXU)


def _linked_folder(source: Path, target: Path, project: Path) -> bool:
    """Keep links to folders, and link virtual environments, gigabytes that training only reads; return True if so."""
    if source.is_symlink():
        _copy_link(source, target, project)
        return True
    if (source / "pyvenv.cfg").is_file():
        target.symlink_to(source)
        return True
    return False


def _copy_entry(source: Path, target: Path, project: Path, link_large: bool) -> int:
    seen = source.lstat()
    if stat.S_ISLNK(seen.st_mode):
        _copy_link(source, target, project)
    elif not stat.S_ISREG(seen.st_mode):
        return 0  # sockets and pipes belong to the process that made them
    elif link_large and seen.st_size > LINKED_BYTES:
        target.symlink_to(source)
    else:
        _copy_file(source, target)
        return seen.st_size
    return 0


def _copy_link(source: Path, target: Path, project: Path) -> None:
    """Copy a link; make a relative one that leads out of the project absolute, since it would break in the copy."""
    aim = source.readlink()
    outside = (source.parent / aim).resolve()
    target.symlink_to(aim if aim.is_absolute() or outside.is_relative_to(project) else outside)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:
            shutil.copyfileobj(old, new, 1 << 20)
    shutil.copystat(source, target)


def _moved(path: Path, project: Path, copy: Path) -> Path:
    return copy / path.relative_to(project) if path.is_relative_to(project) else path

"""Tiers 2 and 3: the project folder is copied, and the script works in the copy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from ...errors import IsolationError
from . import compiler_cache, copier, devices, keeper_view, manifest, mounts, plan
from ._base import Isolation, View
from .promises import Level

SHARED_MEMORY = Path("/dev/shm")


class Landlock(Isolation):
    """Tier in which the kernel refuses every write outside the copy, the scratch folder and devices."""

    name: ClassVar[str] = "landlock"
    protects: ClassVar[bool] = True

    def __init__(self, *, project: Path, scratch: Path, mounts: bool = True) -> None:
        super().__init__(project=project, scratch=scratch)
        self.mounts = mounts
        """True for a mount namespace: Landlock alone lets modes, owners and times be changed, and /dev/shm written."""

    @property
    def level(self) -> Level:
        return Level.LANDLOCK if self.mounts else Level.LANDLOCK_ALONE

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        if (version := keeper_view.landlock_version()) < keeper_view.LANDLOCK_MINIMUM:
            raise IsolationError(
                f"the kernel has version {version} of Landlock, and {keeper_view.LANDLOCK_MINIMUM} is required"
            )
        copy, temporary = folder / "project", folder / "tmp"
        temporary.mkdir()
        copied = copier.Copier(self.project, skip=(self.scratch, *writable), large_bytes=copier.LARGE_COPIED_BYTES)
        copied.copy(copy)
        proc = Path("/proc" if os.geteuid() else "/proc/self")  # root could change the machine in /proc/sys
        own = [copy, temporary, self.shared, *writable]
        view = View(
            cwd=_moved(cwd, self.project, copy),
            keeper={
                "landlock": {
                    "folders": [str(path) for path in (*own, SHARED_MEMORY, proc)],
                    "files": devices.writable(),
                },
                **(self._mounts(folder, own) if self.mounts else {}),
            },
            scratch=folder,
            env={
                **{name: str(temporary) for name in ("TMPDIR", "MPLCONFIGDIR")},
                **{name: str(self.shared) for name in ("TRITON_CACHE_DIR", compiler_cache.VARIABLE)},
            },
            moved=(self.project, copy),
            notes=tuple(copied.notes),
        )
        if self.mounts:
            yield view
        else:
            yield from detect(view, self.project, skip=(self.scratch, *writable), shared_memory=True)

    def _mounts(self, folder: Path, writable: Sequence[Path]) -> dict[str, object]:
        for name in ("root", "layers"):
            (folder / name).mkdir()
        user_namespace = not mounts.has_privilege()
        return {
            "view": {
                "root": str(folder / "root"),
                "layers": str(folder / "layers"),
                "memory_bytes": 0,
                "user_namespace": user_namespace,
                "processes": False,
                "steps": plan.read_only(
                    user_namespace=user_namespace,
                    shared_memory_bytes=mounts.shared_memory_bytes(),
                    writable=[str(path) for path in writable],
                ),
            }
        }


class Copy(Isolation):
    """Tier in which nothing stops writes to absolute paths; the folder is compared afterwards."""

    name: ClassVar[str] = "copy"
    protects: ClassVar[bool] = False
    level = Level.COPY

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        copy = folder / "project"
        copier.Copier(self.project, skip=(self.scratch, *writable), large_bytes=None).copy(copy)
        view = View(cwd=_moved(cwd, self.project, copy), keeper={}, scratch=folder, moved=(self.project, copy))
        yield from detect(view, self.project, skip=(self.scratch, *writable))


class Unprotected(Isolation):
    """Tier in which the script runs in place."""

    name: ClassVar[str] = "none"
    protects: ClassVar[bool] = False
    level = Level.NONE

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        yield from detect(View(cwd=cwd, keeper={}, scratch=folder), self.project, skip=(self.scratch, *writable))


def detect(view: View, project: Path, *, skip: tuple[Path, ...], shared_memory: bool = False) -> Iterator[View]:
    """Yield the view, and record in it what the script changed in the project folder, and where its links lead."""
    before = manifest.take(project, skip=skip)
    shared_before = manifest.take(SHARED_MEMORY, absolute=True) if shared_memory else None
    yield view
    after = manifest.take(project, skip=skip)
    view.changed_files = after.changed_since(before)
    view.notes += tuple(
        f"{project if name == manifest.ALL else name} has too many entries to be compared"
        for name in sorted(before.too_large | after.too_large)
    )
    if shared_before is not None:
        changes = manifest.take(SHARED_MEMORY, absolute=True).changed_since(shared_before)
        # Other programs make files there all the time; those that were there belong to somebody.
        view.changed_files += tuple(words for words in changes if not words.startswith("created "))


def _moved(path: Path, project: Path, copy: Path) -> Path:
    return copy / path.relative_to(project) if path.is_relative_to(project) else path

"""Tier 1: an overlay over every writable part of the file system, in its own namespaces."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from . import mounts, plan
from ._base import Isolation, View
from .renamable import small_folders

CAP_SYS_ADMIN = 21
MEMORY_SHARE = 4
"""Divisor of the available memory that may hold the changes if no disk can: a quarter, training needs the rest."""
MEMORY_MOST_BYTES = 16 << 30


class Overlay(Isolation):
    """Tier with the same paths and user; everything the script writes, deletes or renames stays in a scratch folder."""

    name: ClassVar[str] = "overlay"
    protects: ClassVar[bool] = True
    promise = "the script ran in a copy-on-write view of the file system, and could change none of your files"

    def __init__(
        self,
        *,
        project: Path,
        scratch: Path,
        in_memory: bool = False,
        memory_bytes: int | None = None,
        processes: bool = True,
    ) -> None:
        super().__init__(project=project, scratch=scratch)
        self.in_memory = in_memory
        """True if a tmpfs holds the changes, because the scratch folder is itself on an overlay (containers)."""
        self.memory_bytes = memory_bytes
        """Limit on a tmpfs; None for a share of the available memory."""
        self.processes = processes
        """True for a process namespace; impossible if /proc may not be remounted (containers with a masked /proc)."""

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        for name in ("root", "layers"):
            (folder / name).mkdir()
        user_namespace = not has_mount_privilege()
        steps = plan.plan(
            mounts.read_mounts(),
            user_namespace=user_namespace,
            processes=self.processes,
            shared_memory_bytes=_shared_memory_bytes(),
            writable=[str(path) for path in writable],
            wanted=plan.wanted_folders(self.project),
        )
        if user_namespace:
            _copy_small_folders(steps, small_folders(self.project, skip=(self.scratch, *writable)))
        view = {
            "root": str(folder / "root"),
            "layers": str(folder / "layers"),
            "memory_bytes": (self.memory_bytes or _memory_bytes()) if self.in_memory else 0,
            "user_namespace": user_namespace,
            "processes": self.processes,
            "steps": steps,
        }
        yield View(cwd=cwd, keeper={"view": view, "namespace": self.processes}, scratch=folder)


def _copy_small_folders(steps: list[plan.Step], folders: list[Path]) -> None:
    """Add each folder to the overlay that it lies in."""
    overlays = [step for step in steps if step["do"] == "overlay"]
    for folder in folders:
        holders = [
            step for step in overlays if mounts.is_below(str(folder), step["path"]) and str(folder) != step["path"]
        ]
        if holders:
            holder = max(holders, key=lambda step: len(step["path"]))
            holder["copied"].append(str(folder.relative_to(holder["path"])))


def has_mount_privilege() -> bool:
    """Return True if this process may mount without a user namespace."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    return False


def _memory_bytes() -> int:
    return min(MEMORY_MOST_BYTES, psutil.virtual_memory().available // MEMORY_SHARE)


def _shared_memory_bytes() -> int | None:
    """Return the size of /dev/shm, so that loader workers find as much as outside; None if it does not exist."""
    if not Path("/dev/shm").is_dir():
        return None
    size = os.statvfs("/dev/shm")
    return size.f_blocks * size.f_frsize

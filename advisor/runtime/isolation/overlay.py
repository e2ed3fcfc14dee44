"""Tier 1: an overlay over every writable part of the file system, in its own namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import psutil

from . import compiler_cache, foreign, mounts, plan
from ._base import Isolation, View
from .promises import Level
from .renamable import small_folders

MEMORY_SHARE = 4
"""Divisor of the available memory that may hold the changes if no disk can: a quarter, training needs the rest."""
MEMORY_MOST_BYTES = 16 << 30


class Overlay(Isolation):
    """Tier with the same paths and user; everything the script writes, deletes or renames stays in a scratch folder."""

    name: ClassVar[str] = "overlay"
    protects: ClassVar[bool] = True
    level = Level.OVERLAY

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

    def for_ranks(self) -> Overlay:
        return Overlay(
            project=self.project,
            scratch=self.scratch,
            in_memory=self.in_memory,
            memory_bytes=self.memory_bytes,
            processes=False,
        )

    def _prepare(self, folder: Path, cwd: Path, writable: Sequence[Path]) -> Iterator[View]:
        for name in ("root", "layers"):
            (folder / name).mkdir()
        user_namespace = not mounts.has_privilege()
        steps = plan.plan(
            mounts.read_mounts(),
            user_namespace=user_namespace,
            processes=self.processes,
            shared_memory_bytes=mounts.shared_memory_bytes(),
            writable=[str(path) for path in (*writable, self.shared)],
            wanted=plan.wanted_folders(self.project),
            sockets=mounts.bound_sockets(),
        )
        notes: tuple[str, ...] = ()
        if user_namespace:
            skip = (self.scratch, *writable)
            folders, files, too_large = foreign.split([*foreign.entries(self.project, skip=skip)])
            _add(steps, "copied", small_folders(self.project, skip=skip))
            _add(steps, "made", folders)
            _add(steps, "files", files)
            notes = tuple(
                f"{path} belongs to another user or group and is too large to copy: it is read-only in the view"
                for path in too_large
            )
        view = {
            "root": str(folder / "root"),
            "layers": str(folder / "layers"),
            "memory_bytes": (self.memory_bytes or _memory_bytes()) if self.in_memory else 0,
            "user_namespace": user_namespace,
            "processes": self.processes,
            "steps": steps,
        }
        keeper = {"view": view, "namespace": self.processes}
        env = compiler_cache.environment(self.shared)
        yield View(cwd=cwd, keeper=keeper, scratch=folder, env=env, notes=notes)


def _add(steps: list[plan.Step], part: str, paths: list[Path]) -> None:
    """Add each path to the overlay that it lies in, for what is done in its upper layer."""
    overlays = [step for step in steps if step["do"] == "overlay"]
    for path in paths:
        holders = [step for step in overlays if mounts.is_below(str(path), step["path"]) and str(path) != step["path"]]
        if holders:
            holder = max(holders, key=lambda step: len(step["path"]))
            holder[part].append(str(path.relative_to(holder["path"])))


def _memory_bytes() -> int:
    return min(MEMORY_MOST_BYTES, psutil.virtual_memory().available // MEMORY_SHARE)

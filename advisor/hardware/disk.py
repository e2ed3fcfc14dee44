"""Disk under a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psutil

from ..types.hardware import Disk
from ._files import read_int


def disk(folder: Path, *, root: Path = Path("/")) -> Disk | None:
    """Describe the disk that holds `folder`, or None if it is unreadable; `root` is the folder that holds /sys."""
    try:
        usage = shutil.disk_usage(folder)
        device = folder.stat().st_dev
    except OSError:
        return None
    return Disk(
        path=str(folder),
        file_system=_file_system(folder.resolve()),
        total_bytes=usage.total,
        free_bytes=usage.free,
        rotational=rotational(device, root=root),
    )


def _file_system(folder: Path) -> str:
    """Return the type of the mount over the folder: the longest mount point above it, the latest of equals."""
    best, kind = -1, "unknown"
    for partition in psutil.disk_partitions(all=True):
        point = Path(partition.mountpoint)
        if folder.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), partition.fstype
    return kind


def rotational(device: int, *, root: Path = Path("/")) -> bool | None:
    """Return True if the block device rotates; None if it is not a block device here (overlay, network, btrfs)."""
    if not hasattr(os, "major"):
        return None
    node = (root / f"sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    if node.name.startswith(("vd", "xvd")):
        # A virtual disk reports "rotational" by default, whatever it lies on.
        return None
    # A partition's folder lies in that of its disk, which has the queue.
    for folder in (node, node.parent):
        turning = read_int(folder / "queue/rotational")
        if turning is not None:
            return turning == 1
    return None

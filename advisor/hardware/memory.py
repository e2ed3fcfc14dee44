"""RAM, swap and shared memory, as far as this process may use them."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import psutil

from ..types.hardware import Memory
from .cgroup import CgroupLimits


def memory(*, cgroup: CgroupLimits, root: Path = Path("/")) -> Memory:
    """Return the machine's memory with the control groups' limit; `root` is the folder that holds /dev."""
    ram = psutil.virtual_memory()
    with warnings.catch_warnings():
        # psutil warns if /proc/vmstat is hidden; its totals are still right.
        warnings.simplefilter("ignore", RuntimeWarning)
        swap = psutil.swap_memory()
    limit = cgroup.memory_limit_bytes
    shared = _shared_memory(root / "dev/shm")
    free = cgroup.memory_free_bytes
    return Memory(
        ram_bytes=ram.total,
        available_bytes=ram.available if free is None else min(ram.available, free),
        limit_bytes=limit if limit is not None and limit < ram.total else None,
        swap_total_bytes=swap.total,
        swap_used_bytes=swap.used,
        shared_memory_bytes=None if shared is None else shared[0],
        shared_memory_free_bytes=None if shared is None else shared[1],
    )


def _shared_memory(folder: Path) -> tuple[int, int] | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.total, usage.free

"""Memory still free for this process: the machine's free memory, bounded by control groups and limits.

The controller knows these too, but from before the script took its own share.
"""

from __future__ import annotations

import os

CGROUPS = "/sys/fs/cgroup"


def free_bytes(root: str = "") -> int | None:
    """Return the free bytes by the tightest bound; None if the system reports none. `root` holds /proc and /sys."""
    left = [_available(root), *_left_by_groups(root), _left_by_limit(root)]
    known = [value for value in left if value is not None]
    return max(0, min(known)) if left[0] is not None else None


def _available(root: str) -> int | None:
    for line in _lines(f"{root}/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_by_groups(root: str) -> list[int | None]:
    """Return the bytes left by our own control group and each one above it; version 2 and version 1."""
    left = []
    for line in _lines(f"{root}/proc/self/cgroup"):
        number, controllers, group = [*line.rstrip("\n").split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            left += [_left(folder, "memory.max", "memory.current", "inactive_file") for folder in _up(root, "", group)]
        elif "memory" in controllers.split(","):
            left += [
                _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                for folder in _up(root, "/memory", group)
            ]
    return left


def _up(root: str, mount: str, group: str) -> list[str]:
    """Return the folders from the group up to the mount point; a container shows its own group at the latter."""
    point = f"{root}{CGROUPS}{mount}"
    parts = [part for part in group.split("/") if part and part != ".."]
    return [os.path.join(point, *parts[:count]) for count in range(len(parts), -1, -1)]


def _left(folder: str, limit_name: str, used_name: str, cache_name: str) -> int | None:
    limit, used = _number(f"{folder}/{limit_name}"), _number(f"{folder}/{used_name}")
    if limit is None or used is None:
        return None
    for line in _lines(f"{folder}/memory.stat"):
        name, _, value = line.partition(" ")
        if name == cache_name:
            return limit - used + int(value)  # droppable page cache is as good as free
    return limit - used


def _left_by_limit(root: str) -> int | None:
    """Return the bytes of address space left by `ulimit -v`; None if unbounded."""
    try:
        import resource
    except ImportError:
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = (_lines(f"{root}/proc/self/statm") or [""])[0].split()
    if limit == resource.RLIM_INFINITY or not used:
        return None
    return limit - int(used[0]) * os.sysconf("SC_PAGE_SIZE")


def _number(path: str) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None


def _lines(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.readlines()
    except (OSError, ValueError):
        return []

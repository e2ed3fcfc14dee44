"""Limits that the control groups (version 1, version 2, or both at once) set for this process.

`sched_getaffinity` and the RAM total say nothing about these limits, so a container that may use two CPUs looks like
the whole machine. Every limit from our own group up to the root applies, hence the walk upwards.
Format: https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ._files import read_int, read_text

UNLIMITED_BYTES = 1 << 60
"""Value that means "no limit": version 1 writes the largest page-aligned integer, and no machine has an exbibyte."""


@dataclass(frozen=True, kw_only=True)
class CgroupLimits:
    quota_cpus: float | None
    """CPUs' worth of time; None if no group on the way up sets a quota."""
    memory_limit_bytes: int | None
    memory_free_bytes: int | None
    """Memory left of the tightest limit, including page cache that can be dropped."""


@dataclass(frozen=True, kw_only=True)
class _Mount:
    version: int
    controllers: frozenset[str]
    root: str
    """Group that the mount point shows; not "/" in a container that shares the host's cgroup namespace."""
    point: str


def limits(root: Path = Path("/")) -> CgroupLimits:
    """Return the tightest CPU quota and memory limit of this process; `root` is the folder with /proc and /sys."""
    quotas: list[float] = []
    memory: list[tuple[int, int | None]] = []
    mounts = _mounts(root)
    for version, controllers, group in _groups(root):
        for mount in mounts:
            if mount.version != version or (version == 1 and not controllers & mount.controllers):
                continue
            for folder in _folders(root, mount, group):
                quota = _quota(folder, version)
                if quota is not None:
                    quotas.append(quota)
                limit = _memory_limit(folder, version)
                if limit is not None:
                    memory.append((limit, _memory_used(folder, version)))
    left = [limit - used for limit, used in memory if used is not None]
    return CgroupLimits(
        quota_cpus=min(quotas, default=None),
        memory_limit_bytes=min((limit for limit, _ in memory), default=None),
        memory_free_bytes=max(0, min(left)) if left else None,
    )


def _groups(root: Path) -> Iterator[tuple[int, frozenset[str], str]]:
    """Yield version, controllers and path of each group that this process is in."""
    for line in (read_text(root / "proc/self/cgroup") or "").splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            hierarchy, controllers, group = parts
            unified = hierarchy == "0" and not controllers
            yield 2 if unified else 1, frozenset(controllers.split(",")), group


def _mounts(root: Path) -> list[_Mount]:
    found = []
    for line in (read_text(root / "proc/self/mountinfo") or "").splitlines():
        before, separator, after = line.partition(" - ")
        fields, tail = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5 or len(tail) < 3 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        found.append(
            _Mount(
                version=2 if tail[0] == "cgroup2" else 1,
                controllers=frozenset(tail[2].split(",")),
                root=_unescaped(fields[3]),
                point=_unescaped(fields[4]),
            )
        )
    return found


def _unescaped(path: str) -> str:
    """Unescape a path of mountinfo, which writes a blank as a backslash and 040."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _folders(root: Path, mount: _Mount, group: str) -> Iterator[Path]:
    """Yield our group's folder and each one above it, up to the mount point."""
    point = root / mount.point.lstrip("/")
    inside = PurePosixPath(group)
    if mount.root != "/" and inside.is_relative_to(mount.root):
        inside = PurePosixPath("/") / inside.relative_to(mount.root)
    # "/../.." stands for a group outside our namespace: only the mount point itself can be read.
    parts = [] if ".." in inside.parts else list(inside.parts[1:])
    # A container may name the host's path here while its mount shows only its own group, at the mount point.
    while parts and not point.joinpath(*parts).is_dir():
        parts.pop()
    while parts:
        yield point.joinpath(*parts)
        parts.pop()
    yield point


def _quota(folder: Path, version: int) -> float | None:
    if version == 2:
        fields = (read_text(folder / "cpu.max") or "").split()
        if len(fields) != 2 or not (fields[0].isdigit() and fields[1].isdigit()):
            return None
        quota_us, period_us = int(fields[0]), int(fields[1])
    else:
        quota_us = read_int(folder / "cpu.cfs_quota_us") or -1
        period_us = read_int(folder / "cpu.cfs_period_us") or 0
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _memory_limit(folder: Path, version: int) -> int | None:
    limit = read_int(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
    return None if limit is None or limit <= 0 or limit >= UNLIMITED_BYTES else limit


def _memory_used(folder: Path, version: int) -> int | None:
    used = read_int(folder / ("memory.current" if version == 2 else "memory.usage_in_bytes"))
    if used is None:
        return None
    key = "inactive_file" if version == 2 else "total_inactive_file"
    for line in (read_text(folder / "memory.stat") or "").splitlines():
        name, _, value = line.partition(" ")
        if name == key and value.isdigit():
            return max(0, used - int(value))
    return used

"""Mounts of this machine, read from /proc/self/mountinfo."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

CAP_SYS_ADMIN = 21
MOST_SOCKETS = 200
"""Limit on the sockets that a view shows, a few microseconds each; a desktop has some 50."""
KEPT_FLAGS = ("nosuid", "nodev", "noexec")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Line of mountinfo."""

    number: int
    parent: int
    path: str
    kind: str
    read_only: bool
    flags: tuple[str, ...]


def read_mounts(text: str | None = None) -> list[Mount]:
    """Read the mounts that a path can reach, outermost first, without hidden ones (mounted over)."""
    lines = (
        text if text is not None else Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")
    ).splitlines()
    return sorted(
        _visible([_parse(line) for line in lines if line]), key=lambda mount: mount.path.rstrip("/").count("/")
    )


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    options = fields[5].split(",")
    return Mount(
        number=int(fields[0]),
        parent=int(fields[1]),
        path=_unescape(fields[4]),
        kind=rest[0],
        read_only="ro" in options or "ro" in rest[2].split(","),
        flags=tuple(flag for flag in KEPT_FLAGS if flag in options),
    )


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _visible(mounts: Sequence[Mount]) -> list[Mount]:
    known = {mount.number for mount in mounts}
    below: dict[int, list[Mount]] = {}
    for mount in mounts:
        below.setdefault(mount.parent if mount.parent != mount.number else -1, []).append(mount)
    waiting = [mount for mount in mounts if mount.parent not in known or mount.parent == mount.number]
    found = []
    while waiting:
        mount = waiting.pop()
        children = below.get(mount.number, [])
        over = [child for child in children if child.path == mount.path]
        if over:  # mounts below this one can be reached only through the one on top
            waiting.append(over[-1])
            continue
        found.append(mount)
        paths = {child.path for child in children}
        waiting += [child for child in children if paths.isdisjoint(_ancestors(child.path))]
    return found


def _ancestors(path: str) -> list[str]:
    return [str(parent) for parent in Path(path).parents]


def is_below(path: str, folder: str) -> bool:
    """Return True if `path` is `folder` or lies in it."""
    return folder in (path, "/") or path.startswith(folder + "/")


def has_privilege() -> bool:
    """Return True if this process may mount without a user namespace."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1)
    return False


def shared_memory_bytes() -> int | None:
    """Return the size of /dev/shm, so that loader workers find as much as outside; None if it does not exist."""
    if not Path("/dev/shm").is_dir():
        return None
    size = os.statvfs("/dev/shm")
    return size.f_blocks * size.f_frsize


def bound_sockets() -> list[str]:
    """Return the paths of Unix sockets that programs on this machine have bound, at most `MOST_SOCKETS`."""
    try:
        lines = Path("/proc/net/unix").read_text("utf-8", "surrogateescape").splitlines()[1:]
    except OSError:
        return []
    named = dict.fromkeys(fields[7] for line in lines if len(fields := line.split(maxsplit=7)) == 8)
    paths = (path for path in named if path.startswith("/") and not path.startswith("/proc/"))
    return [*islice(filter(_is_socket, paths), MOST_SOCKETS)]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116
    except OSError:
        return False

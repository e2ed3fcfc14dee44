"""Mounts of this machine, read from /proc/self/mountinfo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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

"""The plan of a copy-on-write view of the whole file system, made from /proc/self/mountinfo.

Two builders, since a user namespace may not look below a mount point of the outer one:

- with real privilege every writable mount, `/` first, gets an overlay;
- without, the tree is taken over read-only and each folder that has no mount below it gets an overlay. A folder that
  has one (a home with a network drive in it) is rebuilt as a mirror: files are copied, folders get an overlay each.

Devices stay as they are (also /dev/nvidia*), kernel file systems become read-only, /dev/shm is a private one of the
same size.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KERNEL_FILE_SYSTEMS = frozenset(
    "sysfs cgroup cgroup2 debugfs tracefs securityfs bpf pstore configfs efivarfs fusectl binfmt_misc autofs "  # noqa: SIM905
    "nsfs rpc_pipefs selinuxfs mqueue hugetlbfs devpts devtmpfs nfsd resctrl".split()
)
"""Nothing of a training is kept in these."""
SYSTEM_FOLDERS = frozenset("bin boot etc lib lib32 lib64 libx32 sbin srv usr lost+found".split())  # noqa: SIM905
"""Left read-only for a user who cannot write to them anyway: an overlay would cost time and slow their reading."""
KEPT_FLAGS = ("nosuid", "nodev", "noexec")

Step = dict[str, Any]
"""One thing for the keeper to do: `do`, `path`, and what belongs to it; sent as JSON."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One line of mountinfo."""

    number: int
    parent: int
    path: str
    kind: str
    read_only: bool
    flags: tuple[str, ...]


def read_mounts(text: str | None = None) -> list[Mount]:
    """The mounts that a path can reach, outermost first; hidden ones (mounted over) are left out."""
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
        if over:  # whatever was mounted below this one can only be reached through the one on top
            waiting.append(over[-1])
            continue
        found.append(mount)
        paths = {child.path for child in children}
        waiting += [child for child in children if paths.isdisjoint(_ancestors(child.path))]
    return found


def _ancestors(path: str) -> list[str]:
    return [str(parent) for parent in Path(path).parents]


def is_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or lies in it."""
    return folder in (path, "/") or path.startswith(folder + "/")


def plan(
    mounts: Sequence[Mount],
    *,
    user_namespace: bool,
    processes: bool,
    shared_memory_bytes: int | None,
    writable: Iterable[str],
) -> list[Step]:
    """The steps that turn an empty folder into the view; every `path` is as the script will see it."""
    steps = _for_user(mounts) if user_namespace else _for_root(mounts)
    if processes:
        steps.append({"do": "proc", "path": "/proc"})
    if not user_namespace:  # a root script could otherwise change the machine through these
        for path in ("/proc/sys", "/proc/sysrq-trigger"):
            if Path(path).exists():
                steps += [{"do": "bind", "path": path}, {"do": "read_only", "path": path, "recursive": False}]
    if shared_memory_bytes is not None:
        steps.append({"do": "tmpfs", "path": "/dev/shm", "size_bytes": shared_memory_bytes})
    steps += [{"do": "bind", "path": path} for path in writable]
    return steps


def _for_root(mounts: Sequence[Mount]) -> list[Step]:
    steps: list[Step] = []
    bound: list[str] = []
    for mount in mounts:
        if any(is_below(mount.path, folder) for folder in bound):
            continue  # came along with the recursive bind of its parent
        if _is_overlaid(mount):
            steps.append(_overlay(mount.path, mount.flags, bare=True))
            continue
        holds_writable = any(
            other is not mount and _is_overlaid(other) and is_below(other.path, mount.path) for other in mounts
        )
        steps.append({"do": "bind", "path": mount.path})
        if mount.path != "/dev" and mount.kind != "proc":
            steps.append({"do": "read_only", "path": mount.path, "recursive": not holds_writable})
        if not holds_writable:
            bound.append(mount.path)
    return steps


def _for_user(mounts: Sequence[Mount]) -> list[Step]:
    steps: list[Step] = [{"do": "bind", "path": "/"}]
    for mount in mounts:
        if not mount.read_only and not is_below(mount.path, "/dev") and mount.kind != "proc":
            steps.append({"do": "read_only", "path": mount.path, "recursive": False})
    mirrored: list[str] = []
    for mount in mounts:
        bare = any(is_below(mount.path, folder) for folder in mirrored)
        if _is_overlaid(mount) and os.access(mount.path, os.R_OK | os.X_OK):
            inner = _writable_parts(mount.path, mounts, mount.flags, bare=bare)
            mirrored += [step["path"] for step in inner if step["do"] == "mirror"]
            steps += inner
        elif bare:
            steps.append({"do": "bind", "path": mount.path})
            if not mount.read_only:
                steps.append({"do": "read_only", "path": mount.path, "recursive": False})
    return steps


def _writable_parts(folder: str, mounts: Sequence[Mount], flags: Sequence[str], *, bare: bool) -> list[Step]:
    """An overlay for a folder with no mount below it, otherwise for its parts: in a mirror where the user may write."""
    inner = [mount.path for mount in mounts if mount.path != folder and is_below(mount.path, folder)]
    if not inner:
        return [_overlay(folder, flags, bare=bare)]
    mirrored = bare or os.access(folder, os.W_OK)
    steps: list[Step] = [{"do": "mirror", "path": folder}] if mirrored else []
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        usable = entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK)
        if entry.path in inner or not usable:
            continue
        if folder == "/" and entry.name in SYSTEM_FOLDERS and not os.access(entry.path, os.W_OK):
            continue
        steps += _writable_parts(entry.path, mounts, flags, bare=mirrored)
    return steps


def _is_overlaid(mount: Mount) -> bool:
    if mount.read_only or mount.kind in KERNEL_FILE_SYSTEMS or mount.kind == "proc" or is_below(mount.path, "/dev"):
        return False
    return Path(
        mount.path
    ).is_dir()  # a file can be a mount point too (containers do so in /etc): that one is read-only


def _overlay(path: str, flags: Sequence[str], *, bare: bool) -> Step:
    """`bare`: nothing stands at this path of the view yet, so that a failed overlay leaves a hole to fill."""
    return {"do": "overlay", "path": path, "flags": list(flags), "bare": bare, "required": path == "/", "copied": []}

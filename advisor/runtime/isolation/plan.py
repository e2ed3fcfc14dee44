"""Plan of a copy-on-write view of the whole file system.

There are two builders, since a user namespace may neither look below a mount point of the outer one nor copy what
belongs to others:

- with real privilege, every writable mount gets an overlay, `/` first;
- without it, the tree is taken over read-only, and each folder that the user may write to gets an overlay. A folder
  with a mount below it (a home with a network drive) is rebuilt as a mirror: files are copied, folders overlaid.

Devices can be used (also /dev/nvidia*), but not made or removed. Kernel file systems become read-only. What is written
to /dev/shm stays in a private one, as large.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .mounts import Mount, is_below

KERNEL_FILE_SYSTEMS = frozenset(
    "sysfs cgroup cgroup2 debugfs tracefs securityfs bpf pstore configfs efivarfs fusectl binfmt_misc "  # noqa: SIM905
    "autofs nsfs rpc_pipefs selinuxfs mqueue hugetlbfs devpts devtmpfs nfsd resctrl".split()
)
"""File systems that hold nothing of a training."""
SYSTEM_FOLDERS = frozenset("bin boot etc lib lib32 lib64 libx32 sbin srv usr lost+found".split())  # noqa: SIM905
"""Folders left read-only for users who cannot write to them anyway: overlays would cost time and slow reading."""
SEARCH_DEPTH = 3
"""Depth to which a plain user's writable folders are searched below folders of others (/var/tmp, /data/team/user).

Deeper ones are found only if they matter. Folders that are not found stay read-only.
"""
WANTED_VARIABLES = (
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HF_HOME",
    "TORCH_HOME",
    "VIRTUAL_ENV",
)

Step = dict[str, Any]
"""Step sent to the keeper: `do`, `path`, and what belongs to it."""


def plan(
    mounts: Sequence[Mount],
    *,
    user_namespace: bool,
    processes: bool,
    shared_memory_bytes: int | None,
    writable: Iterable[str],
    wanted: Iterable[str],
    sockets: Iterable[str] = (),
) -> list[Step]:
    """Return the steps that turn an empty folder into the view; every `path` is as the script will see it.

    In an overlay nobody answers at a socket's path, since that looks like another file: `sockets` are bound into it.
    """
    steps = _UserPlan(mounts, wanted).make() if user_namespace else _for_root(mounts)
    if processes:
        steps.append({"do": "proc", "path": "/proc"})
    steps += [{"do": "socket", "path": path} for path in sockets]
    return steps + _ends(user_namespace, shared_memory_bytes, writable)


def read_only(*, user_namespace: bool, shared_memory_bytes: int | None, writable: Iterable[str]) -> list[Step]:
    """Return the steps to a view in which only /dev/shm, a process' own state and `writable` can be written to."""
    return _all_read_only() + _ends(user_namespace, shared_memory_bytes, writable)


def _all_read_only() -> list[Step]:
    """Show everything read-only, except a process' own state in /proc; devices can be used all the same."""
    return [
        {"do": "bind", "path": "/"},
        {"do": "read_only", "path": "/", "recursive": True},
        {"do": "bind", "path": "/proc"},
    ]


def _ends(user_namespace: bool, shared_memory_bytes: int | None, writable: Iterable[str]) -> list[Step]:
    steps: list[Step] = []
    if not user_namespace:  # a root script could otherwise change the machine through these
        for path in ("/proc/sys", "/proc/sysrq-trigger"):
            if Path(path).exists():
                steps += [{"do": "bind", "path": path}, {"do": "read_only", "path": path, "recursive": False}]
    if shared_memory_bytes is not None:
        steps.append({"do": "shared_memory", "path": "/dev/shm", "size_bytes": shared_memory_bytes})
    return [*steps, *({"do": "bind", "path": path} for path in writable)]


def _for_root(mounts: Sequence[Mount]) -> list[Step]:
    steps: list[Step] = []
    bound: list[str] = []
    for mount in mounts:
        if any(is_below(mount.path, folder) for folder in bound):
            continue  # included in the recursive bind of its parent
        if _is_overlaid(mount):
            steps.append(_overlay(mount.path, mount.flags, bare=True))
            continue
        holds_writable = any(
            other is not mount and _is_overlaid(other) and is_below(other.path, mount.path) for other in mounts
        )
        steps.append({"do": "bind", "path": mount.path})
        if mount.kind != "proc":  # devices can be used on a read-only mount, but not made or removed
            steps.append({"do": "read_only", "path": mount.path, "recursive": not holds_writable})
        if not holds_writable:
            bound.append(mount.path)
    return steps


class _UserPlan:
    """Builder of the steps for a plain user."""

    def __init__(self, mounts: Sequence[Mount], wanted: Iterable[str]) -> None:
        self.mounts = mounts
        self.wanted = [*dict.fromkeys(os.path.realpath(path) for path in wanted)]
        self.steps = _all_read_only()

    def make(self) -> list[Step]:
        for mount in self.mounts:
            if _is_overlaid(mount) and _enterable(mount.path):
                self._open(mount.path, mount.flags, 0)
            elif self._is_bare(mount.path):
                self._show(mount.path)
        for path in self.wanted:
            self._open_on_the_way(path)
        return self.steps

    def _open(self, folder: str, flags: Sequence[str], depth: int) -> None:
        """Make writable what the user may write to in a folder."""
        inner = [mount.path for mount in self.mounts if mount.path != folder and is_below(mount.path, folder)]
        own = os.access(folder, os.W_OK)
        if not inner and (own or self._is_bare(folder)):
            self.steps.append(_overlay(folder, flags, bare=self._is_bare(folder)))
            return
        if inner and own:
            self.steps.append({"do": "mirror", "path": folder})
        elif self._is_bare(folder):
            self._show(folder)
        leads_somewhere = bool(inner) or any(is_below(path, folder) for path in self.wanted)
        if not leads_somewhere and (depth >= SEARCH_DEPTH or _is_system(folder)):
            return
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            if entry.path in inner or not entry.is_dir(follow_symlinks=False):
                continue
            if _enterable(entry.path):
                self._open(entry.path, flags, depth + 1)
            elif self._is_bare(entry.path):
                self._show(entry.path)

    def _open_on_the_way(self, path: str) -> None:
        """Give its own overlay to every folder of another user between an overlay and a wanted folder.

        Inside an overlay such a folder is not writable: to write, the kernel would copy it, with an owner that the
        user namespace does not know.
        """
        for folder in reversed([path, *(str(parent) for parent in Path(path).parents)]):
            holders = [step for step in self._of("overlay") if is_below(folder, step["path"])]
            if not holders or any(step["path"] == folder for step in holders) or not _is_folder(folder):
                continue
            if not _is_ours(folder) and _enterable(folder):
                self.steps.append(_overlay(folder, (), bare=False))

    def _show(self, path: str) -> None:
        """Show what stands here, with the mounts below it, read-only."""
        self.steps += [{"do": "bind", "path": path}, {"do": "read_only", "path": path, "recursive": True}]

    def _is_bare(self, path: str) -> bool:
        """Return True if a mirror has hidden what stood here."""
        over = [step for step in self._of("mirror") + self._of("bind") if is_below(path, step["path"])]
        return bool(max(over, key=lambda step: len(step["path"]))["do"] == "mirror")

    def _of(self, kind: str) -> list[Step]:
        return [step for step in self.steps if step["do"] == kind]


def wanted_folders(project: Path) -> list[str]:
    """Return folders a training writes to: project, home, caches, temporary folders, environment (compiled files)."""
    home = os.path.expanduser("~")  # noqa: PTH111 - stays "~" where nobody knows the home; Path would raise
    named = [os.environ.get(name, "") for name in WANTED_VARIABLES]
    folders = [str(project), home, f"{home}/.cache", "/tmp", "/var/tmp", *named]
    return [folder for folder in folders if folder.startswith("/")]


def _enterable(path: str) -> bool:
    return os.access(path, os.R_OK | os.X_OK)


def _is_ours(path: str) -> bool:
    seen = os.stat(path)  # noqa: PTH116
    return seen.st_uid == os.geteuid() and seen.st_gid == os.getegid()


def _is_system(folder: str) -> bool:
    return folder.count("/") == 1 and folder[1:] in SYSTEM_FOLDERS


def _is_overlaid(mount: Mount) -> bool:
    if mount.read_only or mount.kind in KERNEL_FILE_SYSTEMS or mount.kind == "proc" or is_below(mount.path, "/dev"):
        return False
    return _is_folder(mount.path)  # a file can be a mount point, too (containers do so in /etc): it is read-only


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises for what lies in a folder that is closed to the user


def _overlay(path: str, flags: Sequence[str], *, bare: bool) -> Step:
    """Return an overlay step; `bare` if the view has nothing at this path yet, so that failure leaves a gap to fill."""
    return {
        "do": "overlay",
        "path": path,
        "flags": list(flags),
        "bare": bare,
        "required": path == "/",
        "copied": [],
        "made": [],
        "files": [],
    }

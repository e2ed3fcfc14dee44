"""Keeper's access to the Linux kernel: namespaces, mounts and Landlock, through ctypes.

It uses only the standard library and is valid on Python 3.9. It only carries out the plan of mounts from `plan.py`.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

TYPE_CHECKING = False  # `typing` costs 5 ms of start-up
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD = -100
MOUNT_ATTR_RDONLY = 1
SYS_MOUNT_SETATTR = 442
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446
"""Numbers that are the same on every architecture, since Linux unified them in 2019."""
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
PR_SET_NO_NEW_PRIVS = 38
MIRRORED_BYTES = 16 << 20
"""Size above which a file directly in a mirrored folder is shown read-only.

Such a folder is usually a home, and its files are settings and histories.
"""
MOUNT_FLAGS = {"nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _check(
        libc.mount(
            os.fsencode(source), os.fsencode(target), os.fsencode(kind), ctypes.c_ulong(flags), os.fsencode(options)
        ),
        f"mounting {kind or 'a bind'} on {target}",
    )


def unshare(view: Any) -> None:
    """Leave the namespaces of advisor.

    Make a user namespace only without real privilege: in one, files of unmapped owners give EOVERFLOW.
    """
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | (CLONE_NEWPID if view["processes"] else 0)
    uid, gid = os.geteuid(), os.getegid()
    if view["user_namespace"]:
        flags |= CLONE_NEWUSER
    _check(libc.unshare(flags), "making namespaces")
    if view["user_namespace"]:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def build(view: Any) -> list[str]:
    """Carry out the plan of mounts and make the view the root; return what could not be made writable."""
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    layers, root = view["layers"], view["root"]
    if view["memory_bytes"]:
        mount("tmpfs", layers, "tmpfs", MS_NOSUID | MS_NODEV, f"size={view['memory_bytes']},mode=0755")
    notes: list[str] = []
    for number, step in enumerate(view["steps"]):
        _apply(step, root, f"{layers}/{number}", view, notes)
    _pivot(root)
    return notes


def _apply(step: Any, root: str, layer: str, view: Any, notes: list[str]) -> None:
    kind, path = step["do"], step["path"]
    target = root + path.rstrip("/")
    if kind == "overlay":
        try:
            _overlay(path, target or "/", layer, step, view)
        except OSError as error:
            if step["required"]:
                raise
            if step["bare"]:
                mount(path, target, "", MS_BIND | MS_REC)
                _read_only(target, recursive=True)
            notes.append(f"{path} is read-only in the view ({error.strerror})")
    elif kind == "mirror":
        _unless_gone(_mirror, path, target, layer)
    elif kind == "bind":
        _unless_gone(mount, path, target or root, "", MS_BIND | MS_REC)
    elif kind == "read_only":
        _unless_gone(_read_only, target or root, step["recursive"])
    elif kind == "proc":
        mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    elif kind == "socket":
        try:
            mount(path, target, "", MS_BIND)
            _read_only(target, recursive=False)
        except OSError:
            pass  # its program has just ended, or it lies where the user may not look
    elif kind == "shared_memory":
        _shared_memory(path, target, layer, step["size_bytes"], view, notes)


def _shared_memory(path: str, target: str, layer: str, size_bytes: int, view: Any, notes: list[str]) -> None:
    """Give the view shared memory of its own; files that are there already are seen, copy-on-write."""
    if os.listdir(path):
        os.makedirs(layer)
        mount("tmpfs", layer, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},mode=0755")
        try:
            _overlay(path, target, layer, {"copied": [], "made": [], "files": [], "flags": ["nosuid", "nodev"]}, view)
        except OSError as error:
            notes.append(f"files in {path} are hidden in the view ({error.strerror})")
        else:
            return
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size_bytes},mode=1777")


def _overlay(lower: str, target: str, layer: str, step: Any, view: Any) -> None:
    upper, work = f"{layer}/upper", f"{layer}/work"
    os.makedirs(upper)
    os.makedirs(work)
    _copy_attributes(lower, upper)
    for folder in step["copied"]:
        _unless_gone(_copy_into_upper, lower, upper, folder)
    for folder in step["made"]:
        _unless_gone(_make_in_upper, lower, upper, folder)
    for name in step["files"]:
        _unless_gone(_copy_one_into_upper, lower, upper, name)
    # Descriptors instead of paths: a comma or colon in a folder's name would end an option.
    handles = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in (lower, upper, work)]
    options = "lowerdir=/proc/self/fd/{},upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{}".format(*handles)
    options += ",userxattr" if view["user_namespace"] else ",redirect_dir=on,metacopy=off,index=off"
    flags = 0
    for name in step["flags"]:
        flags |= MOUNT_FLAGS[name]
    try:
        mount("overlay", target, "overlay", flags, options)
    finally:
        for handle in handles:
            os.close(handle)


def _copy_into_upper(lower: str, upper: str, folder: str) -> None:
    """Copy a whole folder so that it hides the one below: a plain user can rename the copy, but not the original."""
    path = _make_in_upper(lower, upper, folder)
    _copy_tree(f"{lower}/{folder}", path)
    os.setxattr(path, "user.overlay.opaque", b"y")


def _copy_one_into_upper(lower: str, upper: str, name: str) -> None:
    _make_in_upper(lower, upper, os.path.dirname(name))
    if not os.path.lexists(f"{upper}/{name}"):
        _copy_file(f"{lower}/{name}", f"{upper}/{name}")


def _unless_gone(work: Any, *arguments: Any) -> None:
    """Do this work for a file or folder; other programs may remove what is there while the view is made."""
    try:
        work(*arguments)
    except FileNotFoundError:
        pass


def _make_in_upper(lower: str, upper: str, folder: str) -> str:
    """Make the upper part of a folder, so that nothing has to be copied there later; return its path."""
    path = upper
    for name in filter(None, folder.split("/")):
        path = f"{path}/{name}"
        if not os.path.isdir(path):
            os.mkdir(path)
            _copy_attributes(lower + path[len(upper) :], path)
    return path


def _copy_tree(source: str, target: str) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            _unless_gone(_copy_entry, entry, f"{target}/{entry.name}")
    _copy_attributes(source, target)


def _copy_entry(entry: os.DirEntry[str], there: str) -> None:
    if entry.is_dir(follow_symlinks=False):
        os.mkdir(there)
        _copy_tree(entry.path, there)
    elif entry.is_symlink():
        os.symlink(os.readlink(entry.path), there)
    elif entry.is_file():
        _copy_file(entry.path, there)


def _copy_file(source: str, target: str) -> None:
    seen = os.stat(source)
    old = os.open(source, os.O_RDONLY)
    new = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while os.sendfile(new, old, None, 1 << 30):
            pass
        _copy_extended(old, new)
        os.fchmod(new, stat.S_IMODE(seen.st_mode))
    finally:
        os.close(old)
        os.close(new)
    os.utime(target, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _copy_extended(old: int, new: int) -> None:
    try:
        for name in os.listxattr(old):
            if name.startswith("user.") and not name.startswith("user.overlay."):
                os.setxattr(new, name, os.getxattr(old, name))
    except OSError:
        pass  # one of the disks has none


def _mirror(source: str, target: str, layer: str) -> None:
    """Mount our own folder with copies of the real one's small files and links, and mount points for its folders."""
    copy = f"{layer}/mirror"
    os.makedirs(copy)
    bound: list[str] = []
    with os.scandir(source) as entries:
        for entry in entries:
            _unless_gone(_mirror_entry, entry, f"{copy}/{entry.name}", bound)
    _copy_attributes(source, copy)
    mount(copy, target, "", MS_BIND)
    for name in bound:
        _unless_gone(_show_read_only, f"{source}/{name}", f"{target}/{name}")


def _mirror_entry(entry: os.DirEntry[str], there: str, bound: list[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        os.mkdir(there)
        _copy_attributes(entry.path, there)
    elif entry.is_symlink():
        os.symlink(os.readlink(entry.path), there)
    elif entry.is_file() and entry.stat().st_size <= MIRRORED_BYTES and os.access(entry.path, os.R_OK):
        _copy_file(entry.path, there)
    else:  # large, or a socket: the real file, read-only
        os.close(os.open(there, os.O_CREAT | os.O_WRONLY))
        bound.append(entry.name)


def _show_read_only(path: str, target: str) -> None:
    mount(path, target, "", MS_BIND)
    _read_only(target, recursive=False)


def _copy_attributes(lower: str, upper: str) -> None:
    """Give an upper folder the owner, mode and times of the lower one, since a merged folder shows the upper's."""
    seen = os.stat(lower)
    mode = stat.S_IMODE(seen.st_mode)
    try:
        os.chown(upper, seen.st_uid, seen.st_gid)
    except OSError:
        if not os.access(lower, os.W_OK):
            mode &= ~0o222  # the user owns it now, but could not write to the real one
    os.chmod(upper, mode)
    os.utime(upper, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _read_only(path: str, recursive: bool) -> None:
    """Make a mount read-only; raise FileNotFoundError if it is gone, as when its source was removed meanwhile."""
    attributes = struct.pack("QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    flags = 0x8000 if recursive else 0
    what = f"making {path} read-only"
    try:
        _check(
            libc.syscall(
                SYS_MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), flags, attributes, ctypes.c_size_t(len(attributes))
            ),
            what,
        )
    except OSError as error:
        # What lies there without the mount belongs to the one around it, which has a step of its own.
        if error.errno == errno.EINVAL and not _is_mounted(path):
            raise FileNotFoundError(errno.ENOENT, what) from None
        raise


def _is_mounted(path: str) -> bool:
    sought = (os.fsencode(path), os.fsencode(os.path.realpath(path)))
    with open("/proc/self/mountinfo", "rb") as lines:
        return any(_unescaped(line.split()[4]) in sought for line in lines)


def _unescaped(name: bytes) -> bytes:
    """Return a path of the kernel's list of mounts, in which blanks and the like are octal."""
    for code in (b"040", b"011", b"012", b"134"):
        name = name.replace(b"\\" + code, bytes([int(code, 8)]))
    return name


def _pivot(root: str) -> None:
    os.chdir(root)
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        os.chroot(".")
        os.chdir("/")
        return
    _check(libc.syscall(number, b".", b"."), "changing the root")
    _check(libc.umount2(b".", MNT_DETACH), "leaving the old root")
    os.chdir("/")


# --- Landlock -----------------------------------------------------------------------------------------------------

WRITE_FILE, REMOVE_AND_MAKE, REFER, TRUNCATE = 1 << 1, 0b1_1111_1111 << 4, 1 << 13, 1 << 14
ON_A_FILE = WRITE_FILE | TRUNCATE
LANDLOCK_MINIMUM = 3
"""Oldest usable version: before version 3 (Linux 6.2), `truncate` could still empty a file."""


def landlock_version() -> int:
    """Return the kernel's version of Landlock; 0 if it has none."""
    version: int = libc.syscall(SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    return max(0, version)


def restrict_writes(folders: Sequence[str], files: Sequence[str]) -> None:
    """Restrict this process and its children, from here on, to changing `folders` and writing to `files`.

    In a folder among `files`, those that are there can be written to, but none made or removed.
    """
    version = landlock_version()
    if version < LANDLOCK_MINIMUM:
        raise OSError(38, f"Landlock version {version} is too old: {LANDLOCK_MINIMUM} is required")
    handled = WRITE_FILE | REMOVE_AND_MAKE | REFER | TRUNCATE
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "giving up new privileges")
    attributes = struct.pack("Q", handled)
    ruleset = _check(libc.syscall(SYS_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0), "Landlock")
    for path, allowed in [(path, handled) for path in folders] + [(path, ON_A_FILE) for path in files]:
        try:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # a missing path needs no rule
        rule = struct.pack("=Qi", allowed, handle)
        _check(libc.syscall(SYS_LANDLOCK_ADD, ruleset, 1, rule, 0), f"Landlock rule for {path}")
        os.close(handle)
    _check(libc.syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0), "Landlock")
    os.close(ruleset)

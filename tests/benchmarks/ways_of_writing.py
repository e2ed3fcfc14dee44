"""Write, rename, delete and change files in many ways, each in a folder of its own, as `_ways.lay_out` makes it.

    python ways_of_writing.py FOLDER...

Prints one JSON object: folder → way → what went wrong, or an empty string.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import gzip
import io
import json
import logging
import mmap
import multiprocessing
import os
import pickle
import shelve
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, RENAME_EXCHANGE, PUNCH_HOLE = -100, 2, 3
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}.get(os.uname().machine, 276)
FS_IOC_SETFLAGS, NODUMP = 0x40086602, 0x40

Way = Callable[[str], object]
WAYS: dict[str, Way] = {}


def way(function: Way) -> Way:
    WAYS[function.__name__.replace("_", " ")] = function
    return function


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def opened(path: str, flags: int = os.O_WRONLY) -> int:
    return os.open(path, flags, 0o644)


# --- content ------------------------------------------------------------------------------------------------------


@way
def open_for_writing(d: str) -> None:
    open(f"{d}/kept.txt", "w").write("new")


@way
def open_for_appending(d: str) -> None:
    open(f"{d}/kept.txt", "a").write("new")


@way
def open_for_updating(d: str) -> None:
    open(f"{d}/kept.txt", "r+").write("new")


@way
def a_new_file(d: str) -> None:
    open(f"{d}/new.txt", "x").write("new")


@way
def truncating_open(d: str) -> None:
    os.close(opened(f"{d}/kept.txt", os.O_WRONLY | os.O_TRUNC))


@way
def truncate(d: str) -> None:
    os.truncate(f"{d}/kept.txt", 1)


@way
def ftruncate(d: str) -> None:
    os.ftruncate(opened(f"{d}/kept.txt"), 1)


@way
def pwrite(d: str) -> None:
    os.pwrite(opened(f"{d}/kept.txt"), b"new", 1)


@way
def writev(d: str) -> None:
    os.writev(opened(f"{d}/kept.txt"), [b"n", b"ew"])


@way
def shared_mapping(d: str) -> None:
    with open(f"{d}/kept.txt", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:3] = b"new"
        mapped.flush()


@way
def sendfile(d: str) -> None:
    os.sendfile(opened(f"{d}/kept.txt"), opened(f"{d}/folder/leaf", os.O_RDONLY), 0, 3)


@way
def copy_file_range(d: str) -> None:
    os.copy_file_range(opened(f"{d}/folder/leaf", os.O_RDONLY), opened(f"{d}/kept.txt"), 3)


@way
def fallocate(d: str) -> None:
    os.posix_fallocate(opened(f"{d}/kept.txt"), 0, 100)


@way
def punch_a_hole(d: str) -> None:
    checked(LIBC.fallocate(opened(f"{d}/kept.txt"), PUNCH_HOLE, ctypes.c_long(0), ctypes.c_long(3)))


@way
def open_relative_to_a_folder(d: str) -> None:
    os.write(os.open("kept.txt", os.O_WRONLY, dir_fd=opened(d, os.O_RDONLY)), b"new")


@way
def open_again_through_proc(d: str) -> None:
    open(f"/proc/self/fd/{opened(f'{d}/kept.txt', os.O_RDONLY)}", "w").write("new")


@way
def the_root_in_proc(d: str) -> None:
    open(f"/proc/self/root{os.path.abspath(d)}/kept.txt", "w").write("new")


@way
def the_working_folder_of_the_parent(d: str) -> None:
    open(f"/proc/{os.getppid()}/root{os.path.abspath(d)}/kept.txt", "w").write("new")


@way
def a_link_to_the_file(d: str) -> None:
    open(f"{d}/link", "w").write("new")


@way
def a_new_hard_link(d: str) -> None:
    os.link(f"{d}/kept.txt", f"{d}/hard")
    open(f"{d}/hard", "w").write("new")


@way
def a_file_without_a_name(d: str) -> None:
    handle = os.open(d, os.O_WRONLY | os.O_TMPFILE, 0o600)
    os.write(handle, b"new")
    os.link(f"/proc/self/fd/{handle}", "named", dst_dir_fd=opened(d, os.O_RDONLY), follow_symlinks=True)


# --- names --------------------------------------------------------------------------------------------------------


@way
def replace(d: str) -> None:
    open(f"{d}/half", "w").write("new")
    os.replace(f"{d}/half", f"{d}/kept.txt")


@way
def rename(d: str) -> None:
    os.rename(f"{d}/kept.txt", f"{d}/renamed.txt")


@way
def exchange(d: str) -> None:
    names = (f"{d}/kept.txt".encode(), f"{d}/folder/leaf".encode())
    checked(LIBC.syscall(RENAMEAT2, AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE))


@way
def rename_a_folder(d: str) -> None:
    os.rename(f"{d}/folder", f"{d}/renamed")


@way
def move_a_folder(d: str) -> None:
    shutil.move(f"{d}/folder", f"{d}/moved")


@way
def unlink(d: str) -> None:
    os.unlink(f"{d}/kept.txt")


@way
def remove_a_tree(d: str) -> None:
    shutil.rmtree(f"{d}/folder")


@way
def a_new_folder(d: str) -> None:
    os.makedirs(f"{d}/new/deep")


@way
def a_new_link(d: str) -> None:
    os.symlink("kept.txt", f"{d}/new-link")


@way
def a_new_pipe(d: str) -> None:
    os.mkfifo(f"{d}/pipe")


@way
def a_new_socket(d: str) -> None:
    os.chdir(d)  # a socket's address is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")


# --- modes, owners, times, attributes -----------------------------------------------------------------------------


@way
def chmod(d: str) -> None:
    os.chmod(f"{d}/kept.txt", 0o600)


@way
def fchmod(d: str) -> None:
    os.fchmod(opened(f"{d}/kept.txt", os.O_RDONLY), 0o600)


@way
def chmod_of_a_folder(d: str) -> None:
    os.chmod(f"{d}/folder", 0o700)


@way
def chown(d: str) -> None:
    os.chown(f"{d}/kept.txt", -1, os.getgroups()[-1] if os.getuid() else 12345)


@way
def utime(d: str) -> None:
    os.utime(f"{d}/kept.txt", (1, 1))


@way
def utime_of_a_descriptor(d: str) -> None:
    os.utime(opened(f"{d}/kept.txt", os.O_RDONLY), (1, 1))


@way
def setxattr(d: str) -> None:
    os.setxattr(f"{d}/kept.txt", "user.test", b"new")


@way
def removexattr(d: str) -> None:
    os.removexattr(f"{d}/kept.txt", "user.kept")


@way
def file_flags(d: str) -> None:
    fcntl.ioctl(opened(f"{d}/kept.txt", os.O_RDONLY), FS_IOC_SETFLAGS, struct.pack("l", NODUMP))


# --- libraries ----------------------------------------------------------------------------------------------------


@way
def torch_save(d: str) -> None:
    import torch

    torch.save({"new": torch.ones(3)}, f"{d}/model.pt")


@way
def torch_save_to_a_file(d: str) -> None:
    import torch

    with open(f"{d}/model.pt", "wb") as file:
        torch.save({"new": torch.ones(3)}, file)


@way
def numpy_save(d: str) -> None:
    import numpy as np

    np.save(f"{d}/array.npy", np.zeros(3))


@way
def numpy_memmap(d: str) -> None:
    import numpy as np

    mapped = np.memmap(f"{d}/array.npy", mode="r+", dtype=np.uint8)
    mapped[-3:] = 7
    mapped.flush()


@way
def sqlite(d: str) -> None:
    with sqlite3.connect(f"{d}/data.db") as database:
        database.execute("insert into t values (2)")
    database.close()


@way
def pickle_and_json(d: str) -> None:
    with open(f"{d}/kept.txt", "wb") as file:
        pickle.dump([1], file)
    with open(f"{d}/folder/leaf", "w") as text:
        json.dump([1], text)


@way
def an_archive(d: str) -> None:
    with zipfile.ZipFile(f"{d}/archive.zip", "a") as archive:
        archive.writestr("new", "new")


@way
def unpacked_archive(d: str) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("kept.txt")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"new"))
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        archive.extractall(d, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(d)


@way
def gzip_file(d: str) -> None:
    with gzip.open(f"{d}/kept.txt", "wb") as file:
        file.write(b"new")


@way
def shelf(d: str) -> None:
    with shelve.open(f"{d}/shelf") as shelf:
        shelf["new"] = 1


@way
def log_file(d: str) -> None:
    handler = logging.FileHandler(f"{d}/kept.txt")
    handler.emit(logging.LogRecord("log", logging.INFO, "", 0, "new", (), None))
    if not os.path.getsize(f"{d}/kept.txt") > 4:
        raise OSError(errno.EIO, "nothing was logged")
    handler.close()


@way
def copied_over(d: str) -> None:
    shutil.copy2(f"{d}/folder/leaf", f"{d}/kept.txt")


@way
def temporary_file_beside(d: str) -> None:
    with tempfile.NamedTemporaryFile(dir=d, delete=False) as file:
        file.write(b"new")
    os.replace(file.name, f"{d}/kept.txt")


# --- other processes ----------------------------------------------------------------------------------------------


@way
def shell(d: str) -> None:
    subprocess.run(["sh", "-c", 'echo new > "$0/kept.txt"', d], check=True, stderr=subprocess.PIPE)


@way
def a_worker(d: str) -> None:
    worker = multiprocessing.get_context("fork").Process(target=open_for_writing, args=(d,))
    sys.stderr.flush()
    worker.start()
    worker.join()
    if worker.exitcode:
        raise OSError(errno.EIO, "the worker failed")


@way
def an_event_loop(d: str) -> None:
    async def write() -> None:
        process = await asyncio.create_subprocess_exec("cp", f"{d}/folder/leaf", f"{d}/kept.txt", stderr=-1)
        _, error = await process.communicate()
        if process.returncode:
            raise OSError(errno.EIO, error.decode())

    asyncio.run(write())


def attempt(name: str, folder: str) -> str:
    here = Path.cwd()
    try:
        WAYS[name](f"{folder}/{name}")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        os.chdir(here)
    return ""


def main() -> None:
    done = {folder: {name: attempt(name, folder) for name in WAYS} for folder in sys.argv[1:]}
    print(json.dumps(done))


if __name__ == "__main__":
    main()

"""Tensors in a file, where memory does not hold them a second time.

The file has no name: the system removes it with the process, whatever ends that. Bytes are written as they lie in
memory, so that a tensor comes back bit for bit.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, NamedTuple

from ...refused import Refused

LARGEST_SHARE = 0.5
"""Share of a disk's free space that may be taken: the script writes there, too."""
IN_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")
"""Kinds of file systems that lie in memory."""


class Spilled(NamedTuple):
    """One tensor in the file."""

    spill: Spill
    at: int
    bytes: int
    shape: Any
    dtype: Any

    def read(self) -> Any:
        """Return a fresh copy on the CPU. Raises Refused if it cannot be read."""
        return self.spill.read(self)


class Spill:
    """File for the tensors of one snapshot. Raises Refused if the folder's disk is no place for so many bytes."""

    def __init__(self, folder: str, size: int) -> None:
        if _lies_in_memory(folder):
            raise Refused(f"{folder} lies in memory itself")
        import shutil  # not before the script's first line: both load much
        import tempfile

        try:
            free = shutil.disk_usage(folder).free
            if size > LARGEST_SHARE * free:
                raise Refused(f"the disk of {folder} has {free / 2**30:.2f} GiB free")
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # lives as long as we do
        except OSError as error:
            raise Refused(f"no file can be made in {folder}: {error.strerror}") from error
        self._end = 0

    def put(self, tensor: Any) -> Spilled:
        """Write a tensor. Raises Refused if the disk does not take it."""
        plain = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg()
        left = _bytes_in(plain)
        kept = Spilled(self, self._end, len(left), tensor.shape, tensor.dtype)
        try:
            self._file.seek(self._end)
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            raise Refused(f"the training's state cannot be written to a disk: {error.strerror}") from error
        self._end += kept.bytes
        return kept

    def read(self, kept: Spilled) -> Any:
        import torch

        tensor = torch.empty(kept.shape, dtype=kept.dtype)
        left = _bytes_in(tensor)
        try:
            self._file.seek(kept.at)
            while left:
                count = self._file.readinto(left)
                if not count:
                    raise OSError(0, "the file is too short")
                left = left[count:]
        except OSError as error:
            raise Refused(f"the training's state cannot be read from the disk: {error.strerror}") from error
        return tensor

    def close(self) -> None:
        """Give the disk's space back."""
        self._file.close()


def takes(tensor: Any) -> bool:
    """Return whether a tensor is no more than its bytes: sparse ones, and those of other classes, are not."""
    import torch

    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and (not tensor.is_quantized)
    )


def _bytes_in(tensor: Any) -> memoryview:
    size = int(tensor.numel()) * int(tensor.element_size())
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B") if size else memoryview(b"")


def _lies_in_memory(folder: str) -> bool:
    place, found = os.path.realpath(folder), ("", "")
    try:
        with open("/proc/self/mounts", errors="replace") as file:
            mounts = [line.split(" ") for line in file]
    except OSError:
        return False
    for _device, point, kind, *_rest in mounts:
        above = point.replace("\\040", " ").rstrip("/")
        if (place == above or place.startswith(f"{above}/")) and len(above) >= len(found[0]):
            found = (above, kind)
    return found[1] in IN_MEMORY

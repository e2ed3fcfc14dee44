"""What the script prints, kept in files of bounded size and never waited for.

A thread drains the pipes, so the script is never held up by us. A daemon that keeps a pipe open holds up nobody: the
reader stops when it is told to.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

HEAD_BYTES = 256 << 10
TAIL_BYTES = 256 << 10
"""The start names versions, the end holds the traceback; what lies between is progress bars."""
READ_BYTES = 64 << 10
PIPE_BYTES = 1 << 20
"""Asked of the kernel, so that a burst of output does not wait for our thread."""
LAST_DRAIN_S = 0.5
"""After the script's end its pipes are emptied for this long at most: a daemon could write for ever."""
F_SETPIPE_SZ = 1031


class CappedLog:
    """A file that keeps the first and the last bytes of what is written to it."""

    def __init__(self, path: Path, *, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self.path = path
        self.total_bytes = 0
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._tail = bytearray()
        self._file = path.open("wb", buffering=0)
        self._lock = threading.Lock()
        self.write_error: OSError | None = None
        """Set when the disk took no more: the rest is then held in memory only, within the same bounds."""

    def write(self, data: bytes) -> None:
        """Keeps `data` as far as the limits allow; never raises for a full disk, since the script must go on."""
        with self._lock:
            room = max(0, self._head_bytes - self.total_bytes)
            self.total_bytes += len(data)
            head, rest = data[:room], data[room:]
            if head:
                self._store(head)
            self._tail += rest
            if len(self._tail) > 2 * self._tail_bytes:  # cut seldom: each cut moves what is kept
                del self._tail[: -self._tail_bytes]

    def tail(self, size_bytes: int = 8 << 10) -> str:
        """The last part as text, at any moment."""
        with self._lock:
            held = bytes(self._tail[-size_bytes:])
            missing = size_bytes - len(held)
            if missing > 0 and self.total_bytes > len(held):
                held = self._head_end(missing) + held
        return held.decode("utf-8", "replace")

    def close(self) -> None:
        """Writes the end of the output behind its start, with a line that says how much is left out between."""
        with self._lock:
            if self._file.closed:
                return
            tail = bytes(self._tail[-self._tail_bytes :])
            left_out = max(0, self.total_bytes - self._head_bytes) - len(tail)
            if left_out:
                self._store(f"\n[... {left_out} bytes of output left out here ...]\n".encode())
            self._store(tail)
            self._file.close()

    def _head_end(self, size_bytes: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                kept = file.read(self._head_bytes)
        except OSError:
            return b""
        return kept[-size_bytes:]

    def _store(self, data: bytes) -> None:
        if self.write_error is not None:
            return
        try:
            while data:
                data = data[self._file.write(data) :]  # a disk that is nearly full takes a part
        except OSError as error:
            self.write_error = error


class OutputReader:
    """One thread that empties pipes into logs until it is closed."""

    def __init__(self, sources: Sequence[tuple[int, CappedLog | None]]) -> None:
        """`sources` are (descriptor, log); the reader owns both from now on. No log: what comes is dropped."""
        self._sources = dict(sources)
        self._wake_reader, self._wake_writer = os.pipe()
        self._closed = False
        for descriptor in self._sources:
            os.set_blocking(descriptor, False)
            _widen(descriptor)
        self._thread = threading.Thread(target=self._run, name="advisor-output", daemon=True)
        self._thread.start()

    def __enter__(self) -> OutputReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Takes what is in the pipes now, closes the logs and returns, whoever still holds the other ends."""
        if self._closed:
            return
        self._closed = True
        os.write(self._wake_writer, b"x")
        self._thread.join(LAST_DRAIN_S * 4)
        for descriptor in (self._wake_writer, self._wake_reader, *self._sources):
            os.close(descriptor)
        for log in self._sources.values():
            if log is not None:
                log.close()

    def _run(self) -> None:
        poll = select.poll()
        for descriptor in (self._wake_reader, *self._sources):
            poll.register(descriptor, select.POLLIN | select.POLLHUP)
        open_ones = set(self._sources)
        while open_ones:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._wake_reader in ready:
                self._drain(open_ones)
                return
            for descriptor in ready:
                if self._read(descriptor) == b"":
                    poll.unregister(descriptor)
                    open_ones.discard(descriptor)

    def _drain(self, open_ones: set[int]) -> None:
        deadline = time.monotonic() + LAST_DRAIN_S
        for descriptor in open_ones:
            while time.monotonic() < deadline and self._read(descriptor):
                pass

    def _read(self, descriptor: int) -> bytes | None:
        """What was there: empty at the end of the stream, None when there is nothing now."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # a terminal whose other end was closed says so by an error
        log = self._sources[descriptor]
        if log is not None and data:
            log.write(data)
        return data


def _widen(descriptor: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):  # not a pipe, or not on Linux: the usual size does too
        fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIPE_BYTES)

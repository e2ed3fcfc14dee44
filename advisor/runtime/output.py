"""Output of the script, kept in files of bounded size without delaying anyone, and without secrets in the end.

A thread drains the pipes, so we never delay the script. A daemon that keeps a pipe open delays nobody either, since
the reader stops on request.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ..redaction import Redactor

HEAD_BYTES = 256 << 10
TAIL_BYTES = 256 << 10
"""Bytes kept of the end, which holds the traceback; the start names versions, and between are progress bars."""
READ_BYTES = 64 << 10
PIPE_BYTES = 1 << 20
"""Pipe size requested from the kernel, so that a burst of output does not wait for our thread."""
MARGIN_BYTES = 1 << 10
"""Bytes before a tail that are searched for secrets, too: one may stand where the tail begins."""
LAST_DRAIN_S = 0.5
"""Longest time for emptying the pipes after the script's end: a daemon could write forever."""
F_SETPIPE_SZ = 1031


class CappedLog:
    """File that keeps the first and the last bytes of what is written to it; only its owner can read it."""

    def __init__(
        self,
        path: Path,
        *,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
        redactor: Redactor | None = None,
    ) -> None:
        self.path = path
        self._redactor = redactor or Redactor()
        self.total_bytes = 0
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._tail = bytearray()
        self._file = open(path, "wb", buffering=0, opener=_for_owner)  # noqa: SIM115  # Path.open has no opener
        self._lock = threading.Lock()
        self.write_error: OSError | None = None
        """Error of a disk that accepts no more; the rest is then held in memory only, within the same bounds."""

    def write(self, data: bytes) -> None:
        """Keep `data` as far as the limits allow; never raise for a full disk, since the script must go on."""
        with self._lock:
            free_bytes = max(0, self._head_bytes - self.total_bytes)
            self.total_bytes += len(data)
            head, rest = data[:free_bytes], data[free_bytes:]
            if head:
                self._store(head)
            self._tail += rest
            if len(self._tail) > 2 * self._tail_bytes:  # cut rarely: each cut moves the rest
                del self._tail[: -self._tail_bytes]

    def tail(self, size_bytes: int = 8 << 10) -> str:
        """Return the last part as text without secrets, at any moment."""
        wanted_bytes = size_bytes + MARGIN_BYTES
        with self._lock:
            held = bytes(self._tail[-wanted_bytes:])
            missing = wanted_bytes - len(held)
            if missing > 0 and self.total_bytes > len(held):
                held = self._head_end(missing) + held
        shown = self._redactor.text(held.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return shown[-size_bytes:].decode("utf-8", "replace")

    def close(self) -> None:
        """Append the end of the output to its start, with a line that says how much is left out between.

        Secrets are then replaced in the whole file.
        """
        with self._lock:
            if self._file.closed:
                return
            tail = bytes(self._tail[-self._tail_bytes :])
            omitted_bytes = max(0, self.total_bytes - self._head_bytes) - len(tail)
            if omitted_bytes:
                self._store(f"\n[... {omitted_bytes} bytes of output left out here ...]\n".encode())
            self._store(tail)
            self._file.close()
            if self.write_error is None:
                with contextlib.suppress(OSError):
                    self._redact()

    def _redact(self) -> None:
        """Replace secrets in the file, in place: a full disk has room for that, as it only becomes shorter."""
        with self.path.open("r+b") as file:
            kept = file.read(self._head_bytes + 2 * self._tail_bytes)
            shown = self._redactor.text(kept.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
            if shown != kept:
                file.seek(0)
                file.write(shown)
                file.truncate()

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
                data = data[self._file.write(data) :]  # a nearly full disk accepts a part
        except OSError as error:
            self.write_error = error


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class OutputReader:
    """Thread that empties pipes into logs until it is closed."""

    def __init__(self, sources: Sequence[tuple[int, CappedLog | None]]) -> None:
        """Read `sources`, which are (descriptor, log); the reader owns both from now on. Without a log, drop input."""
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

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Read what is in the pipes now, close the logs and return, even if someone still holds the other ends."""
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
        """Read what is there; return empty bytes at the end of the stream, and None if there is nothing now."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""  # a terminal whose other end was closed raises an error
        log = self._sources[descriptor]
        if log is not None and data:
            log.write(data)
        return data


def _widen(descriptor: int) -> None:
    import fcntl

    with contextlib.suppress(OSError):  # not a pipe, or not on Linux: the usual size will do
        fcntl.fcntl(descriptor, F_SETPIPE_SZ, PIPE_BYTES)

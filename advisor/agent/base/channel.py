"""Agent's end of the private Unix socket: JSON lines to the controller, plans back.

It never raises into the script. When the controller is gone, a real training continues without it. A probe ends at
once, because nobody is left to use its results. A script that closes every descriptor (`os.closerange`) takes ours with
them: the connection is then opened again, and nothing is written to what the script opens under its number.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import fcntl
import os
import resource
import select
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Union

from ...wire import WIRE_VERSION, Hello, Message, Note, Plan, RankAnswer, RankOrder, Stop, decode_to_agent, encode

EXIT_NO_CONTROLLER = 97
"""Exit code of a probe whose controller is unreachable or gone. Neither Python nor a shell uses this code."""
CONNECT_TIMEOUT_S = 10.0
"""Seconds to wait for a connection. The controller already listens, so only a very busy machine needs any of them."""
SEND_TIMEOUT_S = 30.0
"""Seconds without a read after which the controller counts as stopped. The largest window fills a socket's buffer at
most twice."""
LONGEST_ADDRESS_BYTES = 100
"""Longest direct path; `sun_path` holds 107 bytes on Linux and 103 on macOS."""
WAIT_PART_S = 1.0
"""Longest wait on one connection: another thread may have opened a new one."""
ANSWER_MS = 20.0
"""Longest wait for what the controller sends again on a new connection."""
MOST_CONNECTIONS = 8
"""Connections that are tried for one message."""
CLOSED_BY_THE_SCRIPT = (errno.EBADF, errno.ENOTSOCK)
READ_BYTES = 1 << 16
HIGH_DESCRIPTOR = 900
"""Lowest descriptor number for the connection. The script's files keep the low numbers they would have had, and none
of them takes ours when the script closes every descriptor it finds."""

Order = Union[Plan, Stop, RankOrder, RankAnswer]


class AgentChannel:
    """Connection to the controller. Any thread may `send`; only one thread at a time may `poll` or `wait`."""

    def __init__(self, connection: socket.socket | None, *, rank: int = 0, leave_when_gone: bool = False) -> None:
        self.rank = rank
        self.closed = connection is None
        self._connection = connection
        self._leave_when_gone = leave_when_gone
        self._address: tuple[str, str] | None = None
        """Path and token of the controller, to connect again."""
        self._pid = os.getpid()
        self._outbox: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._received = bytearray()
        self._reopened = 0
        """Connections that were opened again."""
        self._orders = 0
        """Orders read until now, on all connections."""
        self._readable = select.poll()
        self._writable = select.poll()
        self._identity: tuple[int, int] | None = None
        if connection is not None:
            self._use(connection)
            os.register_at_fork(after_in_child=self._forget)

    @classmethod
    def connect(cls, path: str, token: str, *, leave_when_gone: bool = False) -> AgentChannel:
        """Connect and send `Hello`.

        Without a controller, a probe (`leave_when_gone`) exits with `EXIT_NO_CONTROLLER`. Otherwise the returned
        channel is closed.
        """
        rank = _number_from("RANK", 0)
        try:
            connection = _connected(path)
        except OSError as error:
            if leave_when_gone:
                _leave(f"cannot reach the controller at {path}: {error}; start the script through advisor")
            return cls(None, rank=rank)
        channel = cls(connection, rank=rank, leave_when_gone=leave_when_gone)
        channel._address = path, token
        channel.send(_hello(token, rank))
        return channel

    def send(self, message: Message) -> None:
        """Send now, or leave the line to a thread that is already sending; see `flush`."""
        if self.closed or os.getpid() != self._pid:
            return
        self._outbox.append(encode(message))
        # Never wait for another thread here: a signal handler or a finaliser may send while its own thread does.
        while self._outbox and self._writing.acquire(blocking=False):
            try:
                while self._outbox:
                    if not self._deliver():
                        return
            except OSError as error:
                self._lost(str(error))
            finally:
                self._writing.release()

    def note(self, kind: str, text: str) -> None:
        self.send(Note(rank=self.rank, kind=kind, text=text))

    def poll(self) -> list[Order]:
        """Return received orders without waiting; an empty list costs a fifth of a microsecond."""
        if self.closed or not self._readable.poll(0):
            return []
        return self._receive()

    def wait(self, timeout_s: float) -> list[Order]:
        """Return received orders, waiting `timeout_s` at most; an empty list also means the controller is gone."""
        deadline = time.monotonic() + timeout_s
        while not self.closed:
            left_s = deadline - time.monotonic()
            if not self._readable.poll(min(max(0.0, left_s), WAIT_PART_S) * 1000) and self._is_intact():
                if left_s <= WAIT_PART_S:
                    return []
                continue
            orders = self._receive()
            if orders or left_s <= 0:
                return orders
        return []

    def flush(self, timeout_s: float = SEND_TIMEOUT_S) -> bool:
        """Wait until everything sent has left this process; return False on a timeout or a closed channel."""
        deadline = time.monotonic() + timeout_s
        while self._outbox or self._writing.locked():
            if self.closed or time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def close(self) -> None:
        """Close the connection on purpose, without exiting the process."""
        self.closed = True
        self._drop()

    def _use(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(connection, select.POLLIN)
        self._writable.register(connection, select.POLLOUT)
        self._received = bytearray()
        self._connection, self._identity = connection, _identity(connection)

    def _drop(self) -> None:
        """Close the connection, but not what the script has opened under its number."""
        connection, intact = self._connection, self._is_intact()
        self._connection = None
        if connection is not None:
            with contextlib.suppress(OSError):
                if intact:
                    connection.close()
                else:
                    connection.detach()

    def _deliver(self) -> bool:
        """Write the next line, on a new connection if the script closes this one; False keeps the line for later."""
        line = self._outbox[0]
        for _ in range(MOST_CONNECTIONS):
            try:
                if not self._is_intact():
                    self._reopen()
                self._write(line)
            except OSError as error:
                if error.errno not in CLOSED_BY_THE_SCRIPT:
                    raise
            else:
                self._outbox.popleft()
                return True
        return False

    def _is_intact(self) -> bool:
        """Return False once the script has closed our descriptor, until it is opened again; costs a microsecond."""
        connection = self._connection
        return connection is not None and _identity(connection) == self._identity

    def _reopen(self) -> None:
        """Connect again, while `_writing` is held; raise OSError if nobody answers."""
        if self._address is None or self.closed:
            raise OSError("the script closed the connection")
        path, token = self._address
        self._drop()
        self._use(_connected(path))
        self._reopened += 1
        self._write(encode(_hello(token, self.rank, self._orders, self._reopened)))

    def _write(self, line: bytes) -> None:
        deadline = time.monotonic() + SEND_TIMEOUT_S
        rest = memoryview(line)
        while rest and self._connection is not None:
            try:
                # The script may have restored SIGPIPE's fatal default.
                rest = rest[self._connection.send(rest, getattr(socket, "MSG_NOSIGNAL", 0)) :]
            except BlockingIOError:
                left_s = deadline - time.monotonic()
                if left_s <= 0 or not self._writable.poll(left_s * 1000):
                    raise TimeoutError(f"the controller has not read for {SEND_TIMEOUT_S:g} s") from None

    def _receive(self) -> list[Order]:
        data = self._read()
        if not data:
            return [] if data is None else self._lost("it closed the connection")
        self._received += data
        *lines, rest = self._received.split(b"\n")
        self._received = bytearray(rest)
        try:
            orders = [decode_to_agent(bytes(line)) for line in lines]
            self._orders += len(orders)
            return orders
        except (ValueError, TypeError, KeyError) as error:
            self.note("agent_error", f"unreadable message from the controller: {error}")
            return self._lost(f"its message is unreadable: {error}")

    def _read(self) -> bytes | None:
        """Return what has come, empty at the controller's end; None if nothing is to be read now."""
        connection = self._connection
        if connection is None or not self._is_intact():
            # The script may close this one, too, before the next look: what waits is read at once.
            connection = self._restore()
            if connection is None or not self._readable.poll(ANSWER_MS):
                return None
        try:
            return connection.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if self._is_intact():
                self._lost(str(error))
            return None

    def _restore(self) -> socket.socket | None:
        """Connect again; return the connection, or None where a thread that sends is about to."""
        if not self._writing.acquire(blocking=False):
            return None
        try:
            if not self._is_intact():
                self._reopen()
            return self._connection
        except OSError as error:
            if error.errno not in CLOSED_BY_THE_SCRIPT:  # else the next look tries again
                self._lost(str(error))
            return None
        finally:
            self._writing.release()

    def _lost(self, why: str) -> list[Order]:
        if not self.closed:
            self.close()
            self._outbox.clear()
            if self._leave_when_gone:
                _leave(f"the controller is gone ({why}); this probe ends")
        return []

    def _forget(self) -> None:
        """Close a forked child's copy of the connection, so that the controller notices when the parent ends."""
        self._writing = threading.Lock()
        self._outbox = deque()
        self.close()


@contextlib.contextmanager
def short_address(path: str) -> Iterator[str]:
    """Yield an address for the socket at `path` that fits into `sun_path`; it is valid inside the `with`."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS_BYTES:
        yield path
        return
    folder, name = os.path.split(path)
    if os.path.isdir("/proc/self/fd"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}/{name}"
        finally:
            os.close(descriptor)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="advisor-") as short:
        link = os.path.join(short, "s")
        os.symlink(folder, link)
        yield os.path.join(link, name)


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        with short_address(path) as address:
            _socket.socket.connect(connection, address)  # the probe reports what `socket.socket` connects to
        return _moved_high(connection)
    except OSError:
        connection.close()
        raise


def _identity(connection: socket.socket) -> tuple[int, int] | None:
    """Return device and inode of the socket; None if its descriptor is closed."""
    try:
        seen = os.fstat(connection.fileno())
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def _hello(token: str, rank: int, received: int = 0, connection: int = 0) -> Hello:
    return Hello(
        version=WIRE_VERSION,
        token=token,
        pid=os.getpid(),
        rank=rank,
        world_size=_number_from("WORLD_SIZE", 1),
        python=sys.version.split()[0],
        executable=sys.executable,
        received=received,
        connection=connection,
    )


def _moved_high(connection: socket.socket) -> socket.socket:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit <= HIGH_DESCRIPTOR + 1:
        return connection
    descriptor = fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    family, kind = connection.family, connection.type
    connection.close()
    return socket.socket(family, kind, fileno=descriptor)


def _number_from(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isascii() and value.isdigit() else default


def _leave(message: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"advisor: {message}\n".encode("utf-8", "backslashreplace"))
    os._exit(EXIT_NO_CONTROLLER)

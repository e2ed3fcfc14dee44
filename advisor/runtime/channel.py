"""Controller's end of the private channel: a Unix socket in the run folder, one JSON message per line.

An inherited descriptor does not survive `torchrun`, and the script's output belongs to the script. So every rank
connects to a socket by its path and shows the token. All input is checked; an invalid line ends the connection.
"""

from __future__ import annotations

import contextlib
import json
import queue
import secrets
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import wire

RECEIVE_BYTES = 1 << 20
TOKEN_BYTES = 16
LEADER = 0
"""Rank that is sent the plan; it tells the others what it does."""
MOST_RANKS = 1024
"""Most ranks that orders are kept for: what a script says of itself must not fill the memory."""


@dataclass(frozen=True, kw_only=True)
class BadLine:
    """Input on the socket that is not one of our messages."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Disconnected:
    """End of a rank's connection; its process may still exist."""

    rank: int


Incoming = Any
"""Message of `wire.TO_CONTROLLER`, a BadLine or a Disconnected."""


class ControllerChannel:
    """Channel that listens from its creation to its `close`, with one queue for the messages of all ranks."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(TOKEN_BYTES)
        self.path = folder / "agent.sock"
        self._incoming: queue.Queue[Incoming] = queue.Queue()
        self._connections: dict[int, socket.socket] = {}
        self._sent: dict[int, list[bytes]] = {}
        """All that was sent to each rank: one that connects late, or anew, is sent what it has not read."""
        self._world_size = 1
        self._newest: dict[int, int] = {}
        """Number of each rank's newest connection."""
        self._lock = threading.Lock()
        self._closed = False
        self._server = _bind(self.path)
        threading.Thread(target=self._accept, name="advisor-accept", daemon=True).start()

    def __enter__(self) -> ControllerChannel:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def send(self, message: wire.Plan | wire.Stop) -> None:
        """Send to rank 0, which the others follow; its loss is reported by a Disconnected, not by an error here."""
        with self._lock:
            self._send_to(LEADER, message)

    def _send_to(self, rank: int, message: wire.Message) -> None:
        line = wire.encode(message)
        self._sent.setdefault(rank, []).append(line)
        connection = self._connections.get(rank)
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.sendall(line)

    def _hand_on(self, sender: int, message: wire.RankOrder | wire.RankAnswer) -> None:
        """Hand an order of rank 0 on to all other ranks, and their answers to rank 0, at once and in this thread."""
        with self._lock:
            if isinstance(message, wire.RankAnswer):
                self._send_to(LEADER, message)
            elif sender == LEADER:
                for rank in range(1, self._world_size):
                    self._send_to(rank, message)

    def receive(self, timeout_s: float) -> Incoming | None:
        """Return the next message, or None if nothing came in time."""
        try:
            return self._incoming.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    @property
    def connected(self) -> bool:
        """True while a rank is connected."""
        with self._lock:
            return bool(self._connections)

    def close(self) -> None:
        self._closed = True
        with self._lock:
            # A blocked accept() does not notice a close; a shutdown wakes it.
            for sock in (self._server, *self._connections.values()):
                _shut(sock)
            self._connections.clear()
        self.path.unlink(missing_ok=True)

    # --- threads --------------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _address = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="advisor-rank", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        rank: int | None = None
        try:
            with connection, connection.makefile("rb", buffering=RECEIVE_BYTES) as stream:
                while True:
                    line = stream.readline(wire.MAX_LINE_BYTES + 1)
                    if not line.endswith(b"\n"):
                        if line:
                            self._incoming.put(BadLine(reason=f"an unterminated line of {len(line)} bytes"))
                        return
                    message = parse(line)
                    if rank is None:
                        rank = self._greet(message, connection)
                    if isinstance(message, wire.RankOrder | wire.RankAnswer):
                        self._hand_on(rank, message)
                    else:
                        self._incoming.put(message)
        except ConnectionResetError:
            return  # closed before it had read all that it was sent
        except (ValueError, OSError) as error:
            self._incoming.put(BadLine(reason=str(error)))
        finally:
            if rank is not None and self._forget(rank, connection):
                self._incoming.put(Disconnected(rank=rank))

    def _greet(self, message: Any, connection: socket.socket) -> int:
        if not isinstance(message, wire.Hello) or not secrets.compare_digest(message.token, self.token):
            raise ValueError("a connection without the token")
        if message.version != wire.WIRE_VERSION:
            raise ValueError(f"an agent of wire version {message.version}; this is version {wire.WIRE_VERSION}")
        with self._lock:
            newest = self._newest.get(message.rank)
            if newest is None or message.connection >= newest:
                self._connections[message.rank] = connection
                self._newest[message.rank] = message.connection
                self._world_size = max(self._world_size, min(message.world_size, MOST_RANKS))
                if missed := self._sent.get(message.rank, [])[message.received :]:
                    with contextlib.suppress(OSError):  # the script has closed this one, too: its end is told below
                        connection.sendall(b"".join(missed))
        return message.rank

    def _forget(self, rank: int, connection: socket.socket) -> bool:
        """Drop a lost connection; return False if the rank has connected anew meanwhile."""
        with self._lock:
            if self._connections.get(rank) is not connection:
                return False
            del self._connections[rank]
        return True


def parse(line: bytes) -> Any:
    """Parse the message in a line; raise ValueError with the reason for anything else."""
    from pydantic import TypeAdapter, ValidationError

    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a line that is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise ValueError(f"a message must be an object, got {type(body).__name__}")
    kind = wire.message_type(str(body.pop("type", None)))
    adapter = _ADAPTERS.get(kind) or _ADAPTERS.setdefault(kind, TypeAdapter(kind))
    try:
        return adapter.validate_python(body)
    except ValidationError as error:
        raise ValueError(f"a damaged {kind.__name__}: {error.errors()[0]['msg']}") from None


_ADAPTERS: dict[type, Any] = {}


def _bind(path: Path) -> socket.socket:
    """Listen on a path of any length: an address holds 107 bytes, and a name below an open folder always fits."""
    import os

    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        server.bind(f"/proc/self/fd/{folder}/{path.name}" if Path("/proc/self/fd").is_dir() else str(path))
        path.chmod(0o600)
    finally:
        os.close(folder)
    server.listen(64)
    return server


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()

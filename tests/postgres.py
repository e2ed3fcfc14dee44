"""A real PostgreSQL server for tests: in a folder of its own, on a socket and a port of its own, gone afterwards."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STARTS_S = 60.0


def why_not() -> str:
    """Return why no server can be started here; an empty text if one can."""
    if _program("initdb") is None or _program("postgres") is None:
        return "PostgreSQL is not installed"
    if os.getuid() == 0 and _unprivileged() is None:
        return "PostgreSQL refuses to run as root, and there is no user postgres"
    if driver() is None:
        return "no driver for PostgreSQL: psycopg or psycopg2"
    return ""


def driver() -> str | None:
    return next((name for name in ("psycopg", "psycopg2") if importlib.util.find_spec(name) is not None), None)


@dataclass(kw_only=True)
class Server:
    """A server that can go away and come back."""

    folder: Path
    port: int
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql+{driver()}://advisor:secret@127.0.0.1:{self.port}/postgres"

    def new_url(self) -> str:
        """Return the URL of a part of the database that holds no tables."""
        import sqlalchemy

        name = f"s{uuid.uuid4().hex}"
        engine = sqlalchemy.create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"create schema {name}"))
        engine.dispose()
        return f"{self.url}?options=-csearch_path%3D{name}"

    def start(self) -> None:
        words = ["-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder), "-h", "127.0.0.1"]
        # What a test writes need not outlive a power failure.
        words += ["-c", "fsync=off", "-c", "shared_buffers=16MB", "-c", "max_connections=60"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_program("postgres")), *words], stdout=log, stderr=log, user=_unprivileged(), cwd=self.folder
            )
        until_s = time.monotonic() + STARTS_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError((self.folder / "log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, as a failure does: nobody is told."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: immediate shutdown
            self._process.wait(timeout=STARTS_S)
            self._process = None

    def _answers(self) -> bool:
        # The socket file appears when the server takes connections.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return (self.folder / f".s.PGSQL.{self.port}").exists() and self._is_ready()
        return False

    def _is_ready(self) -> bool:
        return b"ready to accept connections" in (self.folder / "log").read_bytes().rpartition(b"starting")[2]


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Provide a server with an empty database. Its folder is none of pytest's, which are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="advisor-postgres-") as place:
        yield from _served(Path(place))


def _served(folder: Path) -> Iterator[Server]:
    user = _unprivileged()
    if user is not None:
        shutil.chown(folder, user)
    (folder / "password").write_text("secret\n")
    words = ["-D", str(folder / "data"), "-U", "advisor", "-A", "scram-sha-256", "--pwfile", str(folder / "password")]
    subprocess.run(
        [str(_program("initdb")), *words, "-N", "--locale=C", "-E", "UTF8"],
        check=True,
        capture_output=True,
        user=user,
        cwd=folder,
    )
    found = Server(folder=folder, port=_free_port())
    found.start()
    try:
        yield found
    finally:
        found.stop()


def _program(name: str) -> str | None:
    found = shutil.which(name)
    return found or next(map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


def _unprivileged() -> str | None:
    """Return the user that runs the server; None for the present one."""
    if os.getuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

"""Starts scripts as the session does, with a small real server at the controller's end, and as plain Python does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import advisor
from advisor.wire import WIRE_VERSION

BOOTSTRAP = Path(advisor.__file__).parent / "agent" / "bootstrap.py"
LIMIT_S = 120
"""Nothing here takes a tenth of it; the machine may be busy."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str
    messages: tuple[dict[str, Any], ...] = ()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def notes(self, kind: str) -> list[str]:
        return [note["text"] for note in self.of("Note") if note["kind"] == kind]


class Controller:
    """The other end of the socket: keeps what comes, as it came."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "socket"
        self.messages: list[dict[str, Any]] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        self._listening.settimeout(LIMIT_S)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Controller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT_S)
        self._listening.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines:
            self.messages += [json.loads(line) for line in lines]


def advised(
    folder: Path,
    target: str,
    *args: str,
    is_module: bool = False,
    mode: str = "probe",
    constants: dict[str, dict[str, Any]] | None = None,
    python: str = sys.executable,
    options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
    where: Path | None = None,
) -> Ended:
    """Runs the target through the bootstrap, in `folder`; the socket and the launch file lie beside it."""
    beside = where or folder.parent / f"{folder.name}-run"
    beside.mkdir(exist_ok=True)
    with Controller(beside) as controller:
        spec = {
            "version": WIRE_VERSION,
            "socket": str(controller.path),
            "token": "secret",
            "target": target,
            "is_module": is_module,
            "args": list(args),
            "mode": mode,
            "constants": constants or {},
        }
        launch_file = beside / "launch.json"
        launch_file.write_text(json.dumps(spec), encoding="utf-8")
        ended = _run([python, *options, str(BOOTSTRAP), str(launch_file)], folder, environment)
    controller.path.unlink()
    return Ended(code=ended.code, out=ended.out, err=ended.err, messages=tuple(controller.messages))


def plain(
    folder: Path,
    target: str,
    *args: str,
    is_module: bool = False,
    python: str = sys.executable,
    options: Sequence[str] = (),
    environment: dict[str, str] | None = None,
) -> Ended:
    """Runs the target as the user would without advisor."""
    words = ["-m", target] if is_module else [target]
    return _run([python, *options, *words, *args], folder, environment)


def _run(words: list[str], folder: Path, environment: dict[str, str] | None) -> Ended:
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Ended(
        code=done.returncode,
        out=done.stdout.decode("utf-8", "surrogateescape"),
        err=done.stderr.decode("utf-8", "surrogateescape"),
    )

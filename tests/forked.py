"""Scripts and commands in processes that are forked from one which has imported what they need.

To import torch takes longer than most of what they do, and the end of an interpreter that holds it half as long. What
a test needs a new program for (signals, an interpreter's options, what is preloaded) is started by `subprocess`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("forked_server.py")


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str


def run(
    folder: Path,
    script: str,
    *args: str,
    limit_s: float,
    environment: dict[str, str] | None = None,
    strict: bool = False,
    imports: Sequence[str] = (),
) -> Ended:
    """The script of this name in `folder`, as `python script args` there; `strict`: every warning is an error.

    `imports` are modules that have been imported already, beside torch.
    """
    return _ended(
        _server("scripts", *imports),
        folder,
        environment,
        limit_s,
        {"argv": [script, *args], "strict": strict, "stdin": os.devnull},
    )


def advisor(
    folder: Path,
    *words: object,
    limit_s: float = 240.0,
    environment: Mapping[str, str] | None = None,
    thin: bool = False,
    forks: bool = False,
    imports: Sequence[str] = (),
    stdin: str = os.devnull,
) -> subprocess.CompletedProcess[str]:
    """`python -m advisor words` in `folder`; `thin`: with the short windows of `search/thin.py`.

    A script under `advisor run` shares this process with torch, as the command becomes the script. What other
    commands start are programs of their own, or forks with torch, too (`forks`, see `forked_keepers.py` and
    `forked_ranks.py`). `stdin` is the path of its standard input.
    """
    command = list(map(str, words))
    asked: dict[str, Any] = {"command": command, "thin": thin, "forks": forks, "strict": False, "stdin": stdin}
    ended = _ended(_server("commands", *imports), folder, environment, limit_s, asked)
    return subprocess.CompletedProcess(command, ended.code, ended.out, ended.err)


def _ended(
    server: subprocess.Popen[bytes],
    folder: Path,
    environment: Mapping[str, str] | None,
    limit_s: float,
    asked: dict[str, Any],
) -> Ended:
    with tempfile.TemporaryDirectory(prefix="forked-") as name:
        out, err = Path(name) / "out", Path(name) / "err"
        where = {"folder": str(folder), "out": str(out), "err": str(err)}
        given = {**asked, **where, "environment": dict(os.environ if environment is None else environment)}
        assert server.stdin is not None
        server.stdin.write(json.dumps(given).encode() + b"\n")
        pid = int(_line(server, limit_s) or 0)
        code = _line(server, limit_s)
        if code is None:
            os.killpg(pid, signal.SIGKILL)
            raise AssertionError(f"it took longer than {limit_s:g} s: {_line(server, limit_s)} {err.read_text()}")
        return Ended(code=int(code), out=out.read_text(), err=err.read_text())


@functools.cache
def keepers(*imports: str) -> str:
    """The socket of a server that forks keepers for sessions of this process; `imports` as for scripts."""
    folder = tempfile.TemporaryDirectory(prefix="forked-")
    path = str(Path(folder.name) / "keepers")
    assert _line(_server("keepers", path, *imports), 120.0) == "listening"
    atexit.register(folder.cleanup)
    return path


@functools.cache
def _server(*words: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(SERVER), *words],
        cwd="/",  # nobody's folder: tests look for what still works in theirs
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,  # what is read ahead would not be seen by `select`
    )

    def end() -> None:
        process.communicate(timeout=60)

    atexit.register(end)
    return process


def _line(server: subprocess.Popen[bytes], limit_s: float) -> str | None:
    """What the server says next; None where it says nothing for so long."""
    assert server.stdout is not None
    if not select.select([server.stdout], [], [], limit_s)[0]:
        return None
    line = server.stdout.readline()
    assert line, "the process that scripts are forked from has ended"
    return line.decode().strip()

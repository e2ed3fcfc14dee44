"""Questions to a Python interpreter in its own process, with a time limit.

One JSON file goes in and one comes out, because the standard streams belong to what the interpreter imports.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

STDERR_TAIL_CHARACTERS = 400
"""Limit on the quoted stderr: the last line of a traceback and a little more."""


class ChildFailedError(Exception):
    """Error of a child that gave no answer; the text says why, in one line."""


def ask_child(interpreter: str, script: Path, request: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Run `script REQUEST ANSWER` with the interpreter and return the answer's JSON object.

    Raises ChildFailedError if the interpreter cannot be started, fails, takes too long or gives no readable answer.
    """
    with tempfile.TemporaryDirectory(prefix="advisor-") as name:
        folder = Path(name)
        answer = folder / "answer.json"
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        with (folder / "stderr").open("wb") as stderr:
            try:
                process = subprocess.Popen(
                    [interpreter, str(script), str(folder / "request.json"), str(answer)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise ChildFailedError(f"{interpreter} cannot be started: {error.strerror or error}") from error
            try:
                code = process.wait(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                raise ChildFailedError(f"{interpreter} gave no answer within {timeout_s:g} s") from None
            finally:
                _end(process)
        if code != 0:
            raise ChildFailedError(f"{interpreter} ended with exit code {code}: {_last_line(folder / 'stderr')}")
        return _read(answer, interpreter)


def _read(answer: Path, interpreter: str) -> dict[str, Any]:
    try:
        content = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ChildFailedError(f"{interpreter} left no readable answer: {error}") from error
    if not isinstance(content, dict):
        raise ChildFailedError(f"{interpreter} answered with {type(content).__name__} instead of an object")
    return content


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child and its descendants, by the session that is theirs alone; do nothing if it has ended."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _last_line(stderr: Path) -> str:
    lines = stderr.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][-STDERR_TAIL_CHARACTERS:] if lines else "stderr is empty"

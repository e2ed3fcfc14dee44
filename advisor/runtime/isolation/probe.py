"""Test of a tier on this machine: a program does in its view what scripts do, then the outside is checked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...errors import AdvisorError, IsolationError
from ..processes import start
from . import scratch as scratch_folder
from ._base import Isolation

PROBE_S = 20.0
"""Limit for a probe: it takes 60 ms, or seconds on a machine under heavy load."""
SAMPLE_BYTES = 1 << 20
"""Limit on the size of a project file that is opened for appending, to see if it is writable."""

PROGRAM = """
import os, sys
outside, sample = sys.argv[1], sys.argv[2]
def attempt(action):
    try:
        action()
    except OSError:
        pass
attempt(lambda: open(outside + "/kept", "w").write("spoilt"))
attempt(lambda: os.unlink(outside + "/deleted"))
attempt(lambda: os.rename(outside + "/folder", outside + "/other"))
attempt(lambda: open(outside + "/made", "w").write("new"))
here = ".advisor-probe-%d" % os.getpid()
os.mkdir(here)
open(here + "/one", "w").write("1")
os.rename(here + "/one", here + "/two")
os.rename(here, here + "-moved")
assert open(here + "-moved/two").read() == "1"
os.unlink(here + "-moved/two")
os.rmdir(here + "-moved")
if sample:
    open(sample, "ab").close()
if os.path.isdir("/dev/shm"):
    open("/dev/shm" + "/" + here, "w").close()
    os.unlink("/dev/shm/" + here)
open("/dev/null", "w").close()
"""


def try_out(isolation: Isolation) -> None:
    """Raise IsolationError with the reason if the tier does not keep its promise on this machine."""
    with scratch_folder.lent(isolation.scratch) as folder:
        outside = folder / "outside"
        _lay_out(outside)
        _run(isolation, outside, folder)
        if _state(outside) != {"kept": "as it was", "deleted": "", "folder/file": ""}:
            raise IsolationError("a file outside the view was changed")


def _run(isolation: Isolation, outside: Path, logs: Path) -> None:
    with isolation.prepare(isolation.project) as view:
        sample = _sample(view.cwd)
        command = [sys.executable, "-ISE", "-c", PROGRAM, str(outside), sample]
        try:
            with start(
                command, cwd=view.cwd, env=os.environ, logs=logs, view=view, stdin="null", name="probe"
            ) as process:
                code = process.wait(PROBE_S)
        except AdvisorError as error:
            raise IsolationError(str(error)) from error
        if code is None:
            raise IsolationError(f"a probe did not end within {PROBE_S:.0f} s")
        if code != 0:
            lines = process.stderr.tail().strip().splitlines()
            raise IsolationError(f"a probe in the view failed: {lines[-1] if lines else f'exit code {code}'}")


def _lay_out(outside: Path) -> None:
    (outside / "folder").mkdir(parents=True)
    (outside / "kept").write_text("as it was")
    (outside / "deleted").touch()
    (outside / "folder" / "file").touch()


def _state(outside: Path) -> dict[str, str]:
    return {str(path.relative_to(outside)): path.read_text() for path in outside.rglob("*") if path.is_file()}


def _sample(folder: Path) -> str:
    """Return a small file of the project that the user may write; an empty string if there is none."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                small = entry.is_file(follow_symlinks=False) and entry.stat().st_size <= SAMPLE_BYTES
                if small and os.access(entry.path, os.W_OK):
                    return entry.path
    except OSError:
        return ""  # unreadable: the probe itself will say so
    return ""

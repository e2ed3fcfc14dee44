"""Test of a tier on this machine: a program does in its view what scripts do, then the outside is checked."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ...errors import AdvisorError, IsolationError
from ..processes import start
from . import foreign
from . import scratch as scratch_folder
from ._base import Isolation
from .promises import PROMISES, Kept, Subject

PROBE_S = 20.0
"""Limit for a probe: it takes 60 ms, or seconds on a machine under heavy load."""
SAMPLE_BYTES = 1 << 20
"""Limit on the size of the project's files that are opened for appending, to see if they are writable."""

PROGRAM = """
import os, sys
outside, samples = sys.argv[1], sys.argv[2:]
def attempt(action):
    try:
        action()
    except OSError:
        pass
attempt(lambda: open(outside + "/kept", "w").write("spoilt"))
attempt(lambda: os.unlink(outside + "/deleted"))
attempt(lambda: os.rename(outside + "/folder", outside + "/other"))
attempt(lambda: open(outside + "/made", "w").write("new"))
attempt(lambda: os.chmod(outside + "/kept", 0o777))
attempt(lambda: os.utime(outside + "/kept", (1, 1)))
here = ".advisor-probe-%d" % os.getpid()
os.mkdir(here)
open(here + "/one", "w").write("1")
os.rename(here + "/one", here + "/two")
os.rename(here, here + "-moved")
assert open(here + "-moved/two").read() == "1"
os.unlink(here + "-moved/two")
os.rmdir(here + "-moved")
for sample in samples:
    if os.path.isdir(sample):
        os.mkdir(sample + "/" + here)
        os.rmdir(sample + "/" + here)
    else:
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
        metadata_matters = PROMISES[isolation.level][Subject.METADATA] in (Kept.VIEW, Kept.REFUSED)
        before = _state(outside, metadata=metadata_matters)
        _run(isolation, outside, folder)
        if _state(outside, metadata=metadata_matters) != before:
            raise IsolationError("a file outside the view was changed")


def _run(isolation: Isolation, outside: Path, logs: Path) -> None:
    with isolation.prepare(isolation.project) as view:
        command = [sys.executable, "-ISE", "-c", PROGRAM, str(outside), *_samples(view.cwd, isolation.scratch)]
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


def _state(outside: Path, *, metadata: bool) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in outside.rglob("*"):
        if path.is_file():
            seen = path.stat()
            more = (seen.st_mode, seen.st_uid, seen.st_gid, seen.st_mtime_ns) if metadata else ()
            found[str(path.relative_to(outside))] = (path.read_text(), *more)
    return found


def _samples(folder: Path, scratch: Path) -> list[str]:
    """Return a folder and the smallest file of each owner and group among what the user may write to."""
    samples: dict[tuple[bool, tuple[int, int]], foreign.Entry] = {}
    for entry in foreign.entries(folder, skip=(scratch,)):
        if entry.size_bytes <= SAMPLE_BYTES:
            kind = (entry.is_folder, entry.owner)
            samples[kind] = min(entry, samples.get(kind, entry), key=lambda one: one.size_bytes)
    return [str(entry.path) for entry in samples.values()]

"""The tests of isolation and processes once more as a plain user, where the tests themselves run as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

UID = 12345
HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


def _closed_parents(*paths: Path) -> list[Path]:
    """Folders on the way that other users may not enter."""
    found = []
    for path in paths:
        for folder in (path, *path.parents):
            if not folder.stat().st_mode & 0o001 and folder not in found:
                found.append(folder)
    return found


def _as_user(command: list[str], home: Path) -> list[str]:
    """The command as another user; a closed home that the interpreter lies in is covered by an open one.

    Nothing outside is changed: the cover is a tmpfs that only this namespace sees, with the interpreter bound into it.
    """
    interpreter = Path(sys.executable).resolve().parents[1]
    closed = _closed_parents(interpreter)
    cover = ""
    if closed:
        top = closed[-1]
        cover = (
            f"mount --bind {interpreter} {home}/interpreter && mount -t tmpfs -o mode=755 tmpfs {top}"
            f" && mkdir -p {interpreter} && mount --bind {home}/interpreter {interpreter} && "
        )
    drop = f'exec setpriv --reuid {UID} --regid {UID} --clear-groups "$@"'
    return ["unshare", "-m", "--propagation", "private", "sh", "-c", cover + drop, "sh", *command]


@pytest.mark.skipif(os.getuid() != 0, reason="the other tests run as a plain user already")
@pytest.mark.parametrize("file", ["test_isolation.py", "test_isolation_plan.py", "test_processes.py"])
def test_the_same_holds_for_a_plain_user(file: str, tmp_path: Path) -> None:
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs unshare and setpriv (util-linux)")
    if _closed_parents(REPOSITORY):
        pytest.skip(f"another user cannot read {REPOSITORY}")
    theirs = Path("/var/tmp") / f"advisor-test-{os.getpid()}"  # belongs to root, as /home does
    home = theirs / "home"
    (home / "interpreter").mkdir(parents=True)
    shutil.chown(home, UID, UID)
    try:
        tried = subprocess.run(_as_user([sys.executable, "-c", ""], home), capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"another user cannot run the interpreter: {tried.stderr.strip()}")
        options = ["-q", "-p", "no:cacheprovider", "--basetemp", str(home / "pytest"), "-o", "addopts=-rs"]
        done = subprocess.run(
            _as_user([sys.executable, "-m", "pytest", *options, str(HERE / file)], home),
            cwd=REPOSITORY,
            env={**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
    finally:
        shutil.rmtree(theirs, ignore_errors=True)

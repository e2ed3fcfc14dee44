"""Scratch folders: who owns them, and who removes what the dead left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from advisor.runtime import RunOptions
from advisor.runtime.isolation import scratch
from advisor.runtime.protection import protect
from advisor.types import Command

HOLD = """
import sys, time
from pathlib import Path
from advisor.runtime import RunOptions
from advisor.runtime.isolation import scratch
from advisor.runtime.protection import protect
from advisor.types import Command
folder = scratch.make(Path(sys.argv[1]))
(folder / "kept").touch()
print(folder, flush=True)
time.sleep(600)
"""


@contextmanager
def holder(parent: Path, *prefix: str) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another advisor with a scratch folder."""
    command = [*prefix, sys.executable, "-c", HOLD, str(parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().strip()
            if prefix and not line:
                pytest.skip(f"{prefix[0]} is not possible here")
            yield process, Path(line)
        finally:
            process.kill()


def test_scratch_of_a_dead_run_is_swept_and_of_a_living_one_kept(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, folder):
        assert scratch.sweep(tmp_path) == []
        assert (folder / "kept").exists()
        process.kill()
        process.wait(20)
        assert scratch.sweep(tmp_path) == [folder]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("namespaces", ["--pid", "--map-root-user --pid"])
def test_a_living_run_in_another_container_is_kept(namespaces: str, tmp_path: Path) -> None:
    """Its process has no number here; only the lock shows that it lives."""
    with holder(tmp_path, "unshare", *namespaces.split(), "--fork", "--kill-child") as (_, folder):
        assert scratch.sweep(tmp_path) == []
        assert (folder / "kept").exists()


@pytest.mark.parametrize(
    ("machine", "days", "swept"), [("this", 0, True), ("another", 0, False), ("another", 8, True), ("none", 8, True)]
)
def test_a_free_lock_of_another_machine_is_believed_after_a_week(
    machine: str, days: int, swept: bool, tmp_path: Path
) -> None:
    """A network disk may keep locks within each machine; advisor 0.2 left folders without any."""
    folder = tmp_path / "view-1-2-3"
    folder.mkdir()
    lock = tmp_path / "view-1-2-3.lock"
    if machine != "none":
        lock.write_bytes(scratch._here() if machine == "this" else b"elsewhere 12ab\nanother-boot")
    for path in (folder, lock):
        if path.exists():
            os.utime(path, (time.time() - days * 86400,) * 2)
    assert scratch.sweep(tmp_path) == ([folder] if swept else [])
    assert list(tmp_path.iterdir()) == [] if swept else folder.exists()


def test_a_folder_is_locked_before_another_advisor_can_take_its_lock_file_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = scratch._lock
    swept: list[int] = []

    def swept_just_before(descriptor: int) -> bool | None:
        if not swept:
            swept.append(descriptor)
            for path in tmp_path.iterdir():
                path.unlink()
        return lock(descriptor)

    monkeypatch.setattr(scratch, "_lock", swept_just_before)
    folder = scratch.make(tmp_path)
    assert swept
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, f"{folder.name}.lock"}
    assert scratch.sweep(tmp_path) == []
    scratch.remove(folder)


@pytest.mark.parametrize("moment", ["as it is made", "as it is deleted"])
def test_a_signal_at_the_worst_moment_leaves_no_scratch(moment: str, tmp_path: Path) -> None:
    text = f"""
import pathlib, shutil
from advisor.runtime import RunOptions
from advisor.runtime.isolation import scratch
from advisor.runtime.protection import protect
from advisor.types import Command
make, delete = pathlib.Path.mkdir, shutil.rmtree
def made(path, *a, **k):
    make(path, *a, **k)
    if path.name.startswith(scratch.PREFIX) and {moment == "as it is made"}:
        raise KeyboardInterrupt
def deleted(path, **k):
    shutil.rmtree = delete
    raise KeyboardInterrupt
pathlib.Path.mkdir, shutil.rmtree = made, deleted if {moment == "as it is deleted"} else delete
try:
    scratch.remove(scratch.make(pathlib.Path({str(tmp_path)!r})))
except KeyboardInterrupt:
    print([path.name[:5] for path in pathlib.Path({str(tmp_path)!r}).iterdir() if path.is_dir()])
"""
    ended = subprocess.run([sys.executable, "-c", text], check=False, capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("['view-']\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks_is_used_and_only_old_folders_are_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    folder = scratch.make(tmp_path)
    assert scratch.sweep(tmp_path) == []
    week_ago = time.time() - 8 * 86400
    os.utime(tmp_path / f"{folder.name}.lock", (week_ago, week_ago))
    assert scratch.sweep(tmp_path) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_what_advisor_0_2_left_for_all_users_is_swept_by_the_next_command(tmp_path: Path) -> None:
    """Its folders have no lock; a young one may still be in use."""
    old, young = (tmp_path / "scratch" / name for name in ("view-1-2-3", "view-4-5-6"))
    for folder in (old, young):
        folder.mkdir(parents=True)
    week_ago = time.time() - 8 * 86400
    os.utime(old, (week_ago, week_ago))
    command = Command(target="train.py", is_module=False, args=(), cwd=str(tmp_path), interpreter=sys.executable)
    protect(command, RunOptions(isolation="none", runs=tmp_path))
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == [young.name]

"""Files that are written completely or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.errors import StorageError
from advisor.storage import safe_files

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    safe_files.write_atomic(target, b"before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safe_files.os, "fsync", fail)
    with pytest.raises(StorageError, match="No space left on device"):
        safe_files.write_atomic(target, b"after")
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


FULL_DISK = """
import os, sys
from pathlib import Path
from advisor.storage import record_file, safe_files
from advisor.errors import StorageError
folder = Path(sys.argv[1])
safe_files.write_atomic(folder / "profile.json", b"before")
record_file.append(folder / "trials.jsonl", {"number": 0})
free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
refused = {"write": 0, "append": 0}
for point in range(20):
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * (free - (point % 4) * 4096))
    whole = (folder / "trials.jsonl").read_bytes()
    try:
        safe_files.write_atomic(folder / "profile.json", bytes([65 + point]) * 40000)
    except StorageError as error:
        assert "No space left on device" in str(error), error
        assert (folder / "profile.json").read_bytes() == b"before"
        refused["write"] += 1
    try:
        record_file.append(folder / "trials.jsonl", {"number": point, "text": "y" * 40000})
    except StorageError as error:
        assert "No space left on device" in str(error), error
        assert (folder / "trials.jsonl").read_bytes() == whole
        refused["append"] += 1
    assert sorted(os.listdir(folder)) == ["ballast", "profile.json", "trials.jsonl"]
    ballast.unlink()
assert record_file.read(folder / "trials.jsonl").records == ({"number": 0},)
print(refused["write"], refused["append"])
"""


def test_on_a_full_disk_nothing_is_lost(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-Urm", "true"], check=False).returncode:
        pytest.skip("a small file system of its own needs user namespaces")
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    small = tmp_path / "small"
    small.mkdir()
    command = f"mount -t tmpfs -o size=128k none {small} && exec {sys.executable} {script} {small}"
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "mount" in done.stderr and done.returncode == 32:
        pytest.skip("this machine does not let a namespace mount")
    assert (done.stdout, done.returncode) == ("20 20\n", 0), done.stderr

"""What is tried out before a level of isolation is used, and what a script may write to in /dev."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from advisor.runtime.isolation import devices, keeper_view, probe
from advisor.runtime.isolation.promises import Level

from .isolation_tools import isolation_for
from .levels import isolation_at


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of others")
def test_the_smallest_file_and_a_folder_of_each_owner_and_group_are_tried(tmp_path: Path) -> None:
    for name, owner, group, size_bytes in (
        ("a", 1, 1, 20),
        ("b", 1, 1, 10),
        ("c", 1, 2, 10),
        ("d", 2, 1, 2 * probe.SAMPLE_BYTES),
    ):
        (tmp_path / f"folder-{name}").mkdir()
        path = tmp_path / f"folder-{name}" / name
        path.write_bytes(bytes(size_bytes))
        for one in (path, path.parent):
            os.chown(one, owner, group)
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / "own").touch()
    found = {str(Path(path).relative_to(tmp_path)) for path in probe._samples(tmp_path, tmp_path / "scratch")}
    assert found - {"folder-a", "folder-b"} == {"folder-b/b", "folder-c", "folder-c/c", "folder-d"}
    assert len(found & {"folder-a", "folder-b"}) == 1


def test_landlock_has_a_mount_namespace_wherever_the_overlay_has_one(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    isolation_for("overlay", tmp_path / "project", tmp_path / "scratch")
    if keeper_view.landlock_version() < keeper_view.LANDLOCK_MINIMUM:
        pytest.skip("this kernel has no Landlock")
    found = isolation_at(Level.LANDLOCK, tmp_path / "project", tmp_path / "scratch")
    assert found.level is Level.LANDLOCK


def test_devices_of_the_machine_are_not_written_to() -> None:
    found = {Path(path) for path in devices.writable()}
    assert Path("/dev/null") in found
    assert {path.name for path in found}.isdisjoint({"mem", "kmsg", "shm", "mqueue", "port", "loop-control", "tty1"})
    assert not any(stat.S_ISBLK(path.stat().st_mode) for path in found)


def test_folders_of_accelerators_are_in_and_files_and_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dri").mkdir()
    (tmp_path / "disk").mkdir()
    (tmp_path / "null").symlink_to("/dev/null")
    assert devices.writable(tmp_path) == [str(tmp_path / "dri")]

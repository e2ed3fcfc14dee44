"""The plan of mounts, on machines other than this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.runtime.isolation.mounts import read_mounts
from advisor.runtime.isolation.plan import plan

from .isolation_tools import isolation_for, run

MACHINE = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 27 0:21 / /proc rw - proc proc rw
23 27 0:22 / /sys rw - sysfs sysfs rw
31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
30 25 0:27 / /dev/shm rw - tmpfs tmpfs rw
40 27 8:1 / /tmp rw,nosuid,nodev shared:4 - tmpfs tmpfs rw
41 27 8:2 / /usr/share ro - squashfs /dev/loop0 ro
42 27 8:3 / /etc/hostname rw - ext4 /dev/vda rw
"""


def _steps(text: str, **changes: bool) -> list[tuple[str, str]]:
    settings = {"user_namespace": False, "processes": True, **changes}
    steps = plan(read_mounts(text), shared_memory_bytes=1 << 20, writable=["/tmp"], wanted=["/tmp"], **settings)
    return [(step["do"], step["path"]) for step in steps]


def test_a_mount_below_another_one_on_the_same_place_is_hidden() -> None:
    assert [mount.number for mount in read_mounts(MACHINE) if mount.path == "/dev/shm"] == [30]


def test_a_mount_inside_a_folder_that_was_mounted_over_is_hidden() -> None:
    text = "1 0 8:0 / / rw - ext4 a rw\n2 1 8:1 / /a/b rw - ext4 b rw\n3 1 8:2 / /a rw - ext4 c rw\n"
    assert [mount.path for mount in read_mounts(text)] == ["/", "/a"]


def test_a_mount_inside_a_hidden_mount_is_hidden() -> None:
    text = (
        "1 0 8:0 / / rw - ext4 a rw\n2 1 8:1 / /a rw - ext4 b rw\n"
        "3 2 8:2 / /a/in rw - ext4 c rw\n4 2 8:3 / /a rw - ext4 d rw\n"
    )
    assert [mount.number for mount in read_mounts(text)] == [1, 4]


def test_blanks_in_a_mount_point_are_read() -> None:
    assert read_mounts("1 0 8:0 / / rw - ext4 a rw\n2 1 8:1 / /a\\040b rw - ext4 b rw\n")[1].path == "/a b"


def test_every_writable_mount_is_overlaid_for_root() -> None:
    assert [path for do, path in _steps(MACHINE) if do == "overlay"] == ["/", "/tmp"]


def test_kernel_and_read_only_file_systems_stay_read_only_for_root() -> None:
    read_only = [path for do, path in _steps(MACHINE) if do == "read_only"]
    assert {"/sys", "/usr/share", "/etc/hostname"} <= set(read_only)


def test_devices_are_bound_and_not_overlaid() -> None:
    steps = _steps(MACHINE)
    assert ("bind", "/dev") in steps
    assert ("overlay", "/dev") not in steps


@pytest.mark.parametrize("user_namespace", [False, True])
def test_no_device_can_be_made_or_removed(user_namespace: bool) -> None:
    steps = _steps(MACHINE, user_namespace=user_namespace)
    closed = ("read_only", "/" if user_namespace else "/dev")
    assert steps.index(closed) < steps.index(("shared_memory", "/dev/shm"))


def test_own_folders_come_last_so_that_nothing_covers_them() -> None:
    assert _steps(MACHINE)[-1] == ("bind", "/tmp")


def test_for_a_plain_user_everything_is_read_only_before_anything_is_overlaid() -> None:
    steps = _steps(MACHINE, user_namespace=True)
    assert steps[:2] == [("bind", "/"), ("read_only", "/")]
    assert ("overlay", "/tmp") in steps
    assert ("overlay", "/") not in steps


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of somebody else")
def test_a_project_inside_folders_of_somebody_else_can_be_written_to_in_the_view(tmp_path: Path) -> None:
    """The plain user's run of the tests does this below /var/tmp; here it is the same for root."""
    project, logs = tmp_path / "theirs" / "project", tmp_path / "logs"
    project.mkdir(parents=True)
    logs.mkdir()
    os.chown(tmp_path / "theirs", 54321, 54321)
    isolation = isolation_for("overlay", project, tmp_path / "scratch")
    assert run(isolation, "open('made', 'w').close()", logs)[0] == 0
    assert list(project.iterdir()) == []

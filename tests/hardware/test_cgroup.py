"""The trees are those of Docker, Kubernetes and systemd machines, cut down to the files that count."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.hardware.cgroup import limits

from .trees import write_tree

GIB = 1 << 30

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNTS = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
)
V1_UNLIMITED = "9223372036854771712\n"


def v2_container(tmp_path: Path, **files: str) -> Path:
    """A container with its own cgroup namespace: its group is the root of what it sees."""
    inside = {f"sys/fs/cgroup/{name.replace('_', '.', 1)}": text for name, text in files.items()}
    return write_tree(tmp_path, {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2_MOUNT, **inside})


def test_v2_quota_is_time_over_period(tmp_path: Path) -> None:
    assert limits(v2_container(tmp_path, cpu_max="250000 100000\n")).quota_cpus == 2.5


def test_v2_max_is_no_quota(tmp_path: Path) -> None:
    assert limits(v2_container(tmp_path, cpu_max="max 100000\n")).quota_cpus is None


def test_v2_memory_limit(tmp_path: Path) -> None:
    assert limits(v2_container(tmp_path, memory_max=f"{4 * GIB}\n")).memory_limit_bytes == 4 * GIB


def test_v2_memory_max_is_no_limit(tmp_path: Path) -> None:
    assert limits(v2_container(tmp_path, memory_max="max\n")).memory_limit_bytes is None


def test_page_cache_counts_as_free(tmp_path: Path) -> None:
    root = v2_container(
        tmp_path,
        memory_max=f"{4 * GIB}",
        memory_current=f"{3 * GIB}",
        memory_stat=f"anon {GIB}\nfile {2 * GIB}\ninactive_file {2 * GIB}\n",
    )
    assert limits(root).memory_free_bytes == 3 * GIB


def test_v2_tightest_group_on_the_way_up_binds(tmp_path: Path) -> None:
    slice_ = "sys/fs/cgroup/system.slice"
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/train.service\n",
            "proc/self/mountinfo": V2_MOUNT,
            f"{slice_}/cpu.max": "200000 100000\n",
            f"{slice_}/memory.max": f"{2 * GIB}\n",
            f"{slice_}/train.service/cpu.max": "800000 100000\n",
            f"{slice_}/train.service/memory.max": f"{8 * GIB}\n",
        },
    )
    found = limits(root)
    assert (found.quota_cpus, found.memory_limit_bytes) == (2.0, 2 * GIB)


def test_v2_limit_of_a_sibling_does_not_bind(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/user.slice\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
            "sys/fs/cgroup/system.slice/cpu.max": "100000 100000\n",
        },
    )
    assert limits(root).quota_cpus is None


def test_v1_quota_and_memory(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "11:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n",
            "proc/self/mountinfo": V1_MOUNTS,
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{16 * GIB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{6 * GIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
        },
    )
    found = limits(root)
    assert (found.quota_cpus, found.memory_limit_bytes, found.memory_free_bytes) == (4.0, 16 * GIB, 10 * GIB)


def test_v1_unlimited_is_no_limit(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "11:memory:/\n4:cpu,cpuacct:/\n",
            "proc/self/mountinfo": V1_MOUNTS,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_UNLIMITED,
        },
    )
    found = limits(root)
    assert (found.quota_cpus, found.memory_limit_bytes) == (None, None)


def test_v1_container_whose_mount_shows_only_its_own_group(tmp_path: Path) -> None:
    # Docker without a cgroup namespace: /proc names the host's path, the mount's root is that very path.
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/3f2a\n",
            "proc/self/mountinfo": V1_MOUNTS.replace("0:29 / ", "0:29 /docker/3f2a "),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    )
    assert limits(root).quota_cpus == 1.5


def test_v1_group_below_the_one_that_the_mount_shows(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/3f2a/job\n",
            "proc/self/mountinfo": V1_MOUNTS.replace("0:29 / ", "0:29 /docker/3f2a "),
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        },
    )
    assert limits(root).quota_cpus == 1.5


def test_v1_groups_of_two_controllers_are_not_mixed(tmp_path: Path) -> None:
    # Ours is /job for the CPU, but not for the memory: that /job is somebody else's.
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "11:memory:/\n4:cpu,cpuacct:/job\n",
            "proc/self/mountinfo": V1_MOUNTS,
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{GIB}\n",
        },
    )
    assert limits(root).memory_limit_bytes is None


def test_path_that_is_not_below_the_mount_falls_back_to_what_is_seen(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/kubepods/burstable/pod1/c1\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/cpu.max": "300000 100000\n",
        },
    )
    assert limits(root).quota_cpus == 3.0


def test_group_outside_the_namespace_does_not_leave_the_mount(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/../../other\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/cpu.max": "300000 100000\n",
            "sys/other/cpu.max": "100000 100000\n",
        },
    )
    assert limits(root).quota_cpus == 3.0


def test_hybrid_takes_the_tightest_of_both_versions(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/job\n0::/job\n",
            "proc/self/mountinfo": V1_MOUNTS + V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "600000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/unified/job/cpu.max": "500000 100000\n",
        },
    )
    assert limits(root).quota_cpus == 5.0


def test_mount_point_with_a_blank(tmp_path: Path) -> None:
    root = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/c\\040group"),
            "sys/fs/c group/cpu.max": "100000 100000\n",
        },
    )
    assert limits(root).quota_cpus == 1.0


@pytest.mark.parametrize("content", ["", "garbage", "100000", "x y", "-5 100000", "100000 0"])
def test_unreadable_quota_is_no_quota(tmp_path: Path, content: str) -> None:
    assert limits(v2_container(tmp_path, cpu_max=content)).quota_cpus is None


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    found = limits(tmp_path)
    assert (found.quota_cpus, found.memory_limit_bytes, found.memory_free_bytes) == (None, None, None)

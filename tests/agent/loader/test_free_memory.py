"""Memory that is free for this process, by the machine and by its control groups."""

from __future__ import annotations

from pathlib import Path

from advisor.agent.loader.free_memory import free_bytes

GIB = 2**30


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in {"proc/meminfo": "MemTotal: 33554432 kB\nMemAvailable: 16777216 kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_without_groups_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    assert free_bytes(tree(tmp_path, {})) == 16 * GIB


def test_the_groups_limit_counts_with_its_page_cache_as_free(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/job"
    files = {
        "proc/self/cgroup": "0::/job\n",
        f"{group}/memory.max": str(4 * GIB),
        f"{group}/memory.current": str(3 * GIB),
        f"{group}/memory.stat": f"anon 7\ninactive_file {GIB}\n",
    }
    assert free_bytes(tree(tmp_path, files)) == 2 * GIB


def test_a_limit_above_our_own_group_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/outer/inner\n",
        "sys/fs/cgroup/outer/inner/memory.max": "max\n",
        "sys/fs/cgroup/outer/memory.max": str(2 * GIB),
        "sys/fs/cgroup/outer/memory.current": str(GIB),
    }
    assert free_bytes(tree(tmp_path, files)) == GIB


def test_the_first_version_of_groups(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/job"
    files = {
        "proc/self/cgroup": "4:cpu,memory:/job\n",
        f"{group}/memory.limit_in_bytes": str(4 * GIB),
        f"{group}/memory.usage_in_bytes": str(GIB),
    }
    assert free_bytes(tree(tmp_path, files)) == 3 * GIB


def test_a_container_shows_its_own_group_at_the_mount_point(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/system.slice/of/the/host\n",
        "sys/fs/cgroup/memory.max": str(GIB),
        "sys/fs/cgroup/memory.current": "0",
    }
    assert free_bytes(tree(tmp_path, files)) == GIB


def test_more_used_than_allowed_leaves_nothing(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": str(GIB),
        "sys/fs/cgroup/memory.current": str(2 * GIB),
    }
    assert free_bytes(tree(tmp_path, files)) == 0


def test_a_system_that_does_not_tell_gives_no_number(tmp_path: Path) -> None:
    assert free_bytes(str(tmp_path)) is None

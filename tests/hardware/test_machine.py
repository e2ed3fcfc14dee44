"""CPU, memory, disk, bus and TPUs: the sources that read /proc, /sys and /dev."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from advisor.hardware.bus import BusDevice, bus
from advisor.hardware.cgroup import CgroupLimits
from advisor.hardware.cpu import cpu
from advisor.hardware.disk import disk, rotational
from advisor.hardware.memory import memory
from advisor.hardware.tpu import tpu

from .trees import write_tree

NO_LIMITS = CgroupLimits(quota_cpus=None, memory_limit_bytes=None, memory_free_bytes=None)
needs_linux = pytest.mark.skipif(platform.system() != "Linux", reason="reads Linux's /proc and /sys")

SAPPHIRE_RAPIDS = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu avx2 avx512f avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8 sse4_2

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8480+
flags\t\t: fpu
"""
GRACE = """processor\t: 0
Features\t: fp asimd asimdhp asimddp sve i8mm bf16 sve2
CPU implementer\t: 0x41
CPU part\t: 0xd4f
"""


@needs_linux
def test_x86_model_and_instruction_sets(tmp_path: Path) -> None:
    found = cpu(quota_cpus=None, root=write_tree(tmp_path, {"proc/cpuinfo": SAPPHIRE_RAPIDS}))
    assert found.model == "Intel(R) Xeon(R) Platinum 8480+"
    assert found.instruction_sets == (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "avx512_bf16",
        "amx_tile",
        "amx_int8",
        "amx_bf16",
    )


@needs_linux
def test_arm_is_named_and_its_sets_have_their_usual_names(tmp_path: Path) -> None:
    found = cpu(quota_cpus=None, root=write_tree(tmp_path, {"proc/cpuinfo": GRACE}))
    assert found.model == "Arm Neoverse V2"
    assert found.instruction_sets == ("neon", "fp16", "dotprod", "sve", "sve2", "i8mm", "bf16")


@needs_linux
def test_nodes_without_a_cpu_are_not_counted(tmp_path: Path) -> None:
    nodes = {f"sys/devices/system/node/node{n}/cpulist": cpus for n, cpus in enumerate(["0-31\n", "32-63\n", "\n"])}
    assert cpu(quota_cpus=None, root=write_tree(tmp_path, nodes)).numa_nodes == 2


def test_a_quota_below_the_affinity_is_what_is_usable() -> None:
    assert cpu(quota_cpus=0.5).usable_cpus == 0.5


def test_a_quota_above_the_affinity_gives_nothing() -> None:
    found = cpu(quota_cpus=100_000.0)
    assert found.usable_cpus == found.affinity_count


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_is_counted() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpu(quota_cpus=None).affinity_count == 1
    finally:
        os.sched_setaffinity(0, before)


def test_limit_above_the_ram_is_none() -> None:
    limits = replace(NO_LIMITS, memory_limit_bytes=psutil.virtual_memory().total + 1)
    assert memory(cgroup=limits).limit_bytes is None


def test_what_the_group_has_left_bounds_what_is_available() -> None:
    assert memory(cgroup=replace(NO_LIMITS, memory_free_bytes=4096)).available_bytes == 4096


def test_without_shared_memory_its_size_is_none(tmp_path: Path) -> None:
    assert memory(cgroup=NO_LIMITS, root=tmp_path).shared_memory_bytes is None


def test_disk_of_a_folder(tmp_path: Path) -> None:
    found = disk(tmp_path)
    assert found is not None
    assert 0 < found.free_bytes <= found.total_bytes
    assert found.file_system != "unknown"


def test_disk_of_a_missing_folder_is_none(tmp_path: Path) -> None:
    assert disk(tmp_path / "missing") is None


@needs_linux
def test_a_partition_turns_if_its_disk_does(tmp_path: Path) -> None:
    write_tree(tmp_path, {"sys/block/sda/queue/rotational": "1\n", "sys/block/sda/sda1/partition": "1\n"})
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/8:1").symlink_to(tmp_path / "sys/block/sda/sda1")
    assert rotational(os.makedev(8, 1), root=tmp_path) is True


@needs_linux
def test_a_virtual_disk_is_not_believed(tmp_path: Path) -> None:
    write_tree(tmp_path, {"sys/block/vda/queue/rotational": "1\n"})
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/254:0").symlink_to(tmp_path / "sys/block/vda")
    assert rotational(os.makedev(254, 0), root=tmp_path) is None


def pci(root: Path, address: str, vendor: str, device: str, kind: str, driver: str | None = None) -> None:
    folder = f"sys/bus/pci/devices/{address}"
    write_tree(root, {f"{folder}/vendor": vendor, f"{folder}/device": device, f"{folder}/class": kind})
    if driver is not None:
        (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
        (root / folder / "driver").symlink_to(root / "sys/bus/pci/drivers" / driver)


def test_bus_finds_the_accelerator_and_its_driver(tmp_path: Path) -> None:
    pci(tmp_path, "0000:18:00.0", "0x10de\n", "0x2330\n", "0x030200\n", "nvidia")
    assert bus(tmp_path) == (BusDevice(vendor="NVIDIA", device_id=0x2330, driver="nvidia", memory_bytes=None),)


def test_bus_passes_over_network_cards_and_bridges(tmp_path: Path) -> None:
    pci(tmp_path, "0000:01:00.0", "0x15b3\n", "0x101d\n", "0x020000\n", "mlx5_core")
    pci(tmp_path, "0000:02:00.0", "0x10de\n", "0x22a3\n", "0x068000\n")  # NVSwitch
    assert bus(tmp_path) == ()


def test_tpus_are_named_by_their_bus_id(tmp_path: Path) -> None:
    for number in range(4):
        pci(tmp_path, f"0000:00:0{number}.0", "0x1ae0\n", "0x0062\n", "0xff0000\n")
    assert [item.name for item in tpu(bus(tmp_path), environment={}, root=tmp_path)] == ["TPU v5p"] * 4


def test_tpus_of_a_container_are_found_by_their_files(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dev/accel0": "", "dev/accel1": ""})
    found = tpu((), environment={"TPU_ACCELERATOR_TYPE": "v5litepod-8"}, root=tmp_path)
    assert [item.name for item in found] == ["TPU v5e", "TPU v5e"]


def test_accelerator_files_alone_are_no_tpu(tmp_path: Path) -> None:
    assert tpu((), environment={}, root=write_tree(tmp_path, {"dev/accel0": ""})) == ()

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from advisor.hardware.nvidia import NvidiaDevices, nvidia
from advisor.types.hardware import Accelerator

from .nvml import Device, FakeNvml, h100

NOT_SUPPORTED = pynvml.NVMLError_NotSupported


def ask(*devices: Device, environment: dict[str, str] | None = None, **options: Any) -> NvidiaDevices:
    return nvidia(nvml=FakeNvml(*devices, **options), environment=environment or {})  # type: ignore[arg-type]


def only(device: Device) -> Accelerator:
    (found,) = ask(device).accelerators
    return found


def test_every_field_of_an_h100() -> None:
    assert only(h100()) == Accelerator(
        index=0,
        kind="cuda",
        name="NVIDIA H100 80GB HBM3",
        memory_bytes=85_520_809_984,
        memory_used_bytes=4_194_304,
        compute_capability=(9, 0),
        driver="550.54.15",
        driver_cuda="12.4",
        pcie_generation_now=5,
        pcie_generation_max=5,
        pcie_width_now=16,
        pcie_width_max=16,
        clock_sm_mhz=345,
        clock_sm_max_mhz=1980,
        temperature_c=31,
        power_limit_w=700.0,
        power_limit_default_w=700.0,
        event_reasons=(),
        busy_fraction=0.0,
        other_processes=0,
        mig=False,
    )


@pytest.mark.parametrize(
    ("function", "fields"),
    [
        ("nvmlDeviceGetMemoryInfo", ["memory_bytes", "memory_used_bytes"]),
        ("nvmlDeviceGetCudaComputeCapability", ["compute_capability"]),
        ("nvmlDeviceGetCurrPcieLinkGeneration", ["pcie_generation_now"]),
        ("nvmlDeviceGetMaxPcieLinkWidth", ["pcie_width_max"]),
        ("nvmlDeviceGetClockInfo", ["clock_sm_mhz"]),
        ("nvmlDeviceGetTemperature", ["temperature_c"]),
        ("nvmlDeviceGetEnforcedPowerLimit", ["power_limit_w"]),
        ("nvmlDeviceGetUtilizationRates", ["busy_fraction"]),
        ("nvmlDeviceGetComputeRunningProcesses", ["other_processes"]),
        ("nvmlDeviceGetMigMode", ["mig"]),
    ],
)
def test_a_field_that_is_not_supported_is_none_and_alone(function: str, fields: list[str]) -> None:
    whole, found = only(h100()), only(h100(**{function: NOT_SUPPORTED}))
    changed = [name for name in vars(whole) if getattr(whole, name) != getattr(found, name)]
    assert changed == [name for name in vars(whole) if name in fields]
    assert all(getattr(found, name) is None for name in fields)


def test_throttling_is_told_by_its_reasons() -> None:
    bits = pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonHwSlowdown
    assert only(h100(nvmlDeviceGetCurrentClocksEventReasons=bits)).event_reasons == ("hw_slowdown", "hw_thermal")


def test_an_older_driver_is_asked_by_the_older_name() -> None:
    device = h100(
        nvmlDeviceGetCurrentClocksEventReasons=pynvml.NVMLError_FunctionNotFound,
        nvmlDeviceGetCurrentClocksThrottleReasons=pynvml.nvmlClocksThrottleReasonSwPowerCap,
    )
    assert only(device).event_reasons == ("sw_power_cap",)


def test_without_a_driver_there_is_a_reason_and_no_device() -> None:
    found = ask(init_error=pynvml.NVMLError_LibraryNotFound(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    assert found.accelerators == ()
    assert found.error is not None
    assert "LibraryNotFound" in found.error


def test_nvml_is_closed_again() -> None:
    fake = FakeNvml(h100())
    nvidia(nvml=fake, environment={})  # type: ignore[arg-type]
    assert fake.open == 0


def test_a_lost_device_leaves_the_others() -> None:
    class OneLost(FakeNvml):
        def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:  # noqa: N802
            if index == 0:
                raise pynvml.NVMLError_GpuIsLost(pynvml.NVML_ERROR_GPU_IS_LOST)
            return super().nvmlDeviceGetHandleByIndex(index)

    found = nvidia(nvml=OneLost(h100(), h100()), environment={})  # type: ignore[arg-type]
    assert [item.index for item in found.accelerators] == [1]


def test_our_own_process_is_no_other() -> None:
    processes = [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=2**22 + 1)]
    assert only(h100(nvmlDeviceGetComputeRunningProcesses=processes)).other_processes == 1


def test_names_in_bytes_are_text() -> None:
    assert only(h100(nvmlDeviceGetName=b"Tesla T4")).name == "Tesla T4"


def partitioned() -> Device:
    whole = h100(nvmlDeviceGetMigMode=[1, 1])
    for number, gib in enumerate((40, 20)):
        memory = SimpleNamespace(total=gib << 30, used=0, free=gib << 30)
        name = f"NVIDIA H100 80GB HBM3 MIG {number + 2}g.{gib}gb"
        uuid = f"MIG-{number}"
        whole.slices.append(
            Device({"nvmlDeviceGetName": name, "nvmlDeviceGetUUID": uuid, "nvmlDeviceGetMemoryInfo": memory})
        )
    return whole


def test_a_partitioned_device_is_its_instances() -> None:
    found = ask(partitioned()).accelerators
    assert [(item.memory_bytes, item.mig, item.compute_capability) for item in found] == [
        (40 << 30, True, (9, 0)),
        (20 << 30, True, (9, 0)),
    ]


def test_an_instance_is_chosen_by_its_uuid() -> None:
    found = ask(partitioned(), environment={"CUDA_VISIBLE_DEVICES": "MIG-1"})
    assert [item.memory_bytes for item in found.accelerators] == [20 << 30]


FOUR = [h100(nvmlDeviceGetUUID=f"GPU-{letter}") for letter in "abcd"]


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [("2,0", [2, 0]), ("GPU-c", [2]), ("", []), ("-1", []), ("1,9,2", [1]), ("1, 3", [1, 3]), ("1,1", [1])],
)
def test_what_the_script_sees_and_in_which_order(wanted: str, indices: list[int]) -> None:
    found = ask(*FOUR, environment={"CUDA_VISIBLE_DEVICES": wanted})
    assert [item.index for item in found.accelerators] == indices
    assert found.hidden == 4 - len(indices)


def test_links_between_devices() -> None:
    assert ask(h100(), h100(), h100()).links == ("0-1 nvlink", "0-2 nvlink", "1-2 nvlink")


def test_without_nvlink_the_link_is_pcie() -> None:
    assert ask(h100(), h100(), p2p=pynvml.NVML_P2P_STATUS_NOT_SUPPORTED).links == ("0-1 pcie",)

"""A stand-in for the module pynvml with devices that are not here: the same functions, structures and errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml


@dataclass
class Device:
    """One device; `answers` maps a function's name to its answer, and what is missing is not supported."""

    answers: dict[str, Any]
    slices: list[Device] = field(default_factory=list)


def h100(**changes: Any) -> Device:
    """An idle H100 SXM; a change to an exception class makes that one function fail."""
    answers: dict[str, Any] = {
        "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetUUID": "GPU-5a8b0000",
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=85_520_809_984, used=4_194_304, free=85_516_615_680),
        "nvmlDeviceGetCudaComputeCapability": (9, 0),
        "nvmlDeviceGetCurrPcieLinkGeneration": 5,
        "nvmlDeviceGetMaxPcieLinkGeneration": 5,
        "nvmlDeviceGetCurrPcieLinkWidth": 16,
        "nvmlDeviceGetMaxPcieLinkWidth": 16,
        "nvmlDeviceGetClockInfo": 345,
        "nvmlDeviceGetMaxClockInfo": 1980,
        "nvmlDeviceGetTemperature": 31,
        "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        "nvmlDeviceGetPowerManagementDefaultLimit": 700_000,
        "nvmlDeviceGetCurrentClocksEventReasons": pynvml.nvmlClocksEventReasonGpuIdle,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=0, memory=0),
        "nvmlDeviceGetComputeRunningProcesses": [],
        "nvmlDeviceGetMigMode": [0, 0],
    }
    return Device(answers={**answers, **changes})


class FakeNvml:
    """What `advisor.hardware.nvidia` needs of pynvml."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU
    NVML_P2P_CAPS_INDEX_NVLINK = pynvml.NVML_P2P_CAPS_INDEX_NVLINK
    NVML_P2P_STATUS_OK = pynvml.NVML_P2P_STATUS_OK

    def __init__(self, *devices: Device, init_error: Exception | None = None, p2p: Any = pynvml.NVML_P2P_STATUS_OK):
        self.devices = devices
        self.init_error = init_error
        self.p2p = p2p
        self.open = 0

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error is not None:
            raise self.init_error
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.devices)

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "550.54.15"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 12040

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Device:  # noqa: N802
        return self.devices[index]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Device) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Device, index: int) -> Device:  # noqa: N802
        if index >= len(handle.slices):
            raise pynvml.NVMLError_NotFound(pynvml.NVML_ERROR_NOT_FOUND)
        return handle.slices[index]

    def nvmlDeviceGetP2PStatus(self, one: Device, other: Device, capability: int) -> int:  # noqa: N802
        return int(self.p2p)

    def __getattr__(self, function: str) -> Any:
        if not function.startswith("nvmlDevice"):
            raise AttributeError(function)

        def ask(handle: Device, *arguments: Any) -> Any:
            answer = handle.answers.get(function, pynvml.NVMLError_NotSupported)
            if isinstance(answer, type) and issubclass(answer, Exception):
                raise answer
            return answer

        return ask

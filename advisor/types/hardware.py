"""Hardware of the machine, the part of it that may be used, and setup problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ._named import counted, named


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A peak rate, with its basis."""

    value: float
    """FLOP/s, or bytes/s for a bandwidth."""
    basis: Literal["table", "measured"]
    source: str
    """The data sheet, or the method of measurement."""


@dataclass(frozen=True, kw_only=True)
class Cpu:
    model: str
    architecture: str
    cores_physical: int | None
    cores_logical: int
    affinity_count: int
    """Logical CPUs that this process may be scheduled on."""
    quota_cpus: float | None
    """CPUs' worth of time that the cgroup allows; None without a quota."""
    usable_cpus: float
    """The smaller of affinity and quota."""
    cpuset_count: int | None = None
    """CPUs that the control group allows, whatever the affinity; None if it does not say."""
    instruction_sets: tuple[str, ...]
    """Instruction sets that matter to training, for example avx512f, avx512_bf16, amx_tile, neon, sve."""
    numa_nodes: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    ram_bytes: int
    available_bytes: int
    limit_bytes: int | None
    """The cgroup's limit; None if there is none below the RAM."""
    swap_total_bytes: int
    swap_used_bytes: int
    shared_memory_bytes: int | None
    """Size of /dev/shm, through which worker processes send batches."""
    shared_memory_free_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The disk under the folder the script runs in."""

    path: str
    file_system: str
    total_bytes: int
    free_bytes: int
    rotational: bool | None


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    index: int
    kind: Literal["cuda", "rocm", "mps", "xpu", "tpu", "other"]
    name: str
    memory_bytes: int | None
    compute_capability: tuple[int, int] | None = None
    driver: str | None = None
    driver_cuda: str | None = None
    """The newest CUDA version that the driver can run, for example "12.4"."""
    pcie_generation_now: int | None = None
    pcie_generation_max: int | None = None
    pcie_width_now: int | None = None
    pcie_width_max: int | None = None
    clock_sm_mhz: int | None = None
    clock_sm_max_mhz: int | None = None
    temperature_c: int | None = None
    power_limit_w: float | None = None
    power_limit_default_w: float | None = None
    event_reasons: tuple[str, ...] = ()
    """Reasons for a clock below its best: sw_power_cap, hw_slowdown, sw_thermal, hw_thermal, power_brake (NVML)."""
    busy_fraction: float | None = None
    """Share of the last moment (up to a second) in which some kernel ran; says nothing of how well it ran."""
    other_processes: int | None = None
    """Processes on the device that do not belong to advisor."""
    memory_used_bytes: int | None = None
    mig: bool | None = None
    peak_flops: Mapping[str, Rate] = field(default_factory=dict)
    """Dense peak by dtype: fp64, fp32, tf32, bf16, fp16, fp8, int8."""
    memory_bandwidth: Rate | None = None
    host_to_device_bandwidth: Rate | None = None
    device_to_host_bandwidth: Rate | None = None


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    version: str
    python: str
    cuda: str | None
    """CUDA version that torch was built for; None for a build without CUDA."""
    rocm: str | None
    cudnn: str | None
    accelerator_available: bool
    """Result of `torch.accelerator.is_available()`."""
    architectures: tuple[str, ...] = ()
    """Architectures that the build has kernels for, for example "sm_90"; empty if torch does not say."""
    xla: str | None = None
    """Version of torch_xla, through which TPUs are used."""


@dataclass(frozen=True, kw_only=True)
class SetupProblem:
    """A part of the machine's setup that makes training slower than it could be."""

    id: str
    """cpu_only_build, shared_memory_small, throttled, old_driver, swapping, quota_below_cores …"""
    message: str
    """The problem, with the value."""
    advice: str


@dataclass(frozen=True, kw_only=True)
class Hardware:
    hostname: str
    system: str
    """Operating system and kernel."""
    cpu: Cpu
    memory: Memory
    disk: Disk | None
    accelerators: tuple[Accelerator, ...]
    links: tuple[str, ...] = ()
    """Links between accelerators, for example "0-1 nvlink"."""
    torch: TorchBuild | None = None
    """None if no interpreter with torch was queried."""
    torch_error: str | None = None
    """Reason why `torch` is None although an interpreter was queried."""
    without_driver: tuple[str, ...] = ()
    """Accelerators seen on the bus without a driver, for example "NVIDIA 0x2330"."""
    hidden_accelerators: int = 0
    """Accelerators that CUDA_VISIBLE_DEVICES hides from the script."""
    cpu_peak_flops: Mapping[str, Rate] = field(default_factory=dict)
    """Peak by dtype; measured with `--calibrate` only."""
    cpu_memory_bandwidth: Rate | None = None
    problems: tuple[SetupProblem, ...] = ()

    def __repr__(self) -> str:
        cpu, names = self.cpu, [device.name for device in self.accelerators]
        devices = ", ".join(f"{names.count(name)} × {named(name)}" for name in dict.fromkeys(names))
        memory = f"{self.memory_limit_bytes / 2**30:.4g} GiB"
        problems = f"; {counted(len(self.problems), 'problem')}: {', '.join(one.id for one in self.problems)}"
        return (
            f"<Hardware: {cpu.usable_cpus:g} usable CPUs ({named(cpu.model)}), {memory}, {devices or 'no accelerator'}"
            f"{problems if self.problems else ''}>"
        )

    @property
    def memory_limit_bytes(self) -> int:
        """Return the RAM that may really be used: the cgroup's limit if there is one."""
        limit = self.memory.limit_bytes
        return self.memory.ram_bytes if limit is None else min(limit, self.memory.ram_bytes)

"""Set-up problems: one function per problem, which yields nothing if the facts it needs are unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ..spelling import parameter
from ..types.hardware import Accelerator, Hardware, SetupProblem

MIB = 1 << 20
GIB = 1 << 30

SHARED_MEMORY_MIN_BYTES = GIB
"""Least /dev/shm: eight batches (4 workers, 2 prefetched) of 256 fp32 images of 224 × 224 need 1.2 GB.

Docker gives 64 MiB.
"""

SHARED_MEMORY_RAM_SHARE = 0.25
"""Share of the RAM that is always enough: with little RAM a small /dev/shm is no fault, as Linux gives half of it."""

SWAP_MIN_BYTES = 256 * MIB
SWAP_RAM_SHARE = 0.02
"""Share of the RAM; both thresholds must be passed, since a healthy Linux swaps out a few idle pages, too."""

DISK_FREE_MIN_BYTES = 2 * GIB
"""Less than a checkpoint of a model of 160 million parameters with its Adam state (12 bytes each)."""
DISK_FREE_SHARE = 0.03
DISK_FREE_ENOUGH_BYTES = 50 * GIB
"""Free space that is always enough: a few percent of a large disk are plenty."""

BUSY_MIN_FRACTION = 0.05
"""Utilisation from which a link is judged: an idle device narrows its link to save power."""

POWER_LIMIT_MIN_SHARE = 0.95
"""Share of the default power limit: a limit set a few watts lower by hand costs next to nothing."""

TORCH_MIN = (2, 6)
"""Oldest torch that advisor is tested with."""

THROTTLES = {
    "hw_slowdown": "the hardware throttles itself (heat or power)",
    "sw_thermal": "the driver lowers the clock because of heat",
    "hw_thermal": "the hardware lowers the clock because of heat",
    "power_brake": "the power supply limits it (power brake)",
}
"""Reasons that are problems, without a power cap (sw_power_cap): a healthy device reaches it at full load."""


def setup_problems(hardware: Hardware) -> tuple[SetupProblem, ...]:
    """Return all problems found, the most expensive first."""
    of_machine = (check(hardware) for check in MACHINE_CHECKS)
    of_devices = (check(device) for device in hardware.accelerators for check in DEVICE_CHECKS)
    return tuple(chain.from_iterable([*of_machine, *of_devices]))


def _torch_missing(hardware: Hardware) -> Iterator[SetupProblem]:
    if hardware.torch_error is not None:
        yield SetupProblem(
            id="torch_missing",
            message=f"The interpreter's torch could not be inspected: {hardware.torch_error}.",
            advice=f"Install torch for this interpreter, or name another with {parameter('python')}.",
        )


def _cpu_only_build(hardware: Hardware) -> Iterator[SetupProblem]:
    torch = hardware.torch
    if torch is None or torch.accelerator_available:
        return
    devices = [item for item in hardware.accelerators if not _served(item, hardware)]
    if devices:
        yield SetupProblem(
            id="cpu_only_build",
            message=f"torch {torch.version} cannot use the {devices[0].name}: {_built_for(hardware)}.",
            advice=f"Install {_right_build(devices[0])}; see https://pytorch.org/get-started/locally/.",
        )


def _served(device: Accelerator, hardware: Hardware) -> bool:
    """Return True if torch was built for such devices; if it still finds none, another check reports why."""
    assert hardware.torch is not None
    built = {"cuda": hardware.torch.cuda, "rocm": hardware.torch.rocm, "tpu": hardware.torch.xla}
    return built.get(device.kind) is not None


def _built_for(hardware: Hardware) -> str:
    assert hardware.torch is not None
    if hardware.torch.cuda is not None:
        return f"it was built for CUDA {hardware.torch.cuda}"
    return "it was built for the CPU only" if hardware.torch.rocm is None else f"built for ROCm {hardware.torch.rocm}"


def _right_build(device: Accelerator) -> str:
    if device.kind == "tpu":
        return "torch_xla beside torch"
    if device.kind == "rocm":
        return "a torch that was built for ROCm"
    newest = "" if device.driver_cuda is None else f" up to {device.driver_cuda}, which this driver can run"
    return f"a torch that was built for CUDA{newest}" if device.kind == "cuda" else f"a torch for {device.kind}"


def _driver_missing(hardware: Hardware) -> Iterator[SetupProblem]:
    if hardware.without_driver:
        yield SetupProblem(
            id="driver_missing",
            message=f"No driver is loaded for {', '.join(hardware.without_driver)}, which is on this machine's bus.",
            advice="Install the vendor's driver, or start the container with the device (for example --gpus all).",
        )


def _accelerators_hidden(hardware: Hardware) -> Iterator[SetupProblem]:
    if hardware.hidden_accelerators and not hardware.accelerators:
        yield SetupProblem(
            id="accelerators_hidden",
            message=f"CUDA_VISIBLE_DEVICES hides all {hardware.hidden_accelerators} of this machine's CUDA devices.",
            advice="Unset CUDA_VISIBLE_DEVICES, unless you mean to train on the CPU.",
        )


def _old_driver(hardware: Hardware) -> Iterator[SetupProblem]:
    """Check the driver: within a major version newer minors run on older drivers, but not across majors.

    https://docs.nvidia.com/deploy/cuda-compatibility/
    """
    torch = hardware.torch
    if torch is None or torch.cuda is None or torch.accelerator_available:
        # A device that torch can use proves the driver, even with a compatibility package.
        return
    for device in hardware.accelerators:
        if device.driver_cuda is not None and _major(device.driver_cuda) < _major(torch.cuda):
            yield SetupProblem(
                id="old_driver",
                message=(
                    f"Driver {device.driver} of the {device.name} runs CUDA up to {device.driver_cuda}, "
                    f"but torch {torch.version} was built for CUDA {torch.cuda}."
                ),
                advice=f"Update the driver, or install a torch built for CUDA {_major(device.driver_cuda)}.",
            )
            return


def _architecture_missing(hardware: Hardware) -> Iterator[SetupProblem]:
    torch = hardware.torch
    if torch is None or not torch.architectures:
        return
    for device in hardware.accelerators:
        if device.kind == "cuda" and device.compute_capability is not None:
            if _has_kernels(device.compute_capability, torch.architectures):
                continue
            major, minor = device.compute_capability
            yield SetupProblem(
                id="architecture_missing",
                message=(
                    f"torch {torch.version} has no kernels for the {device.name} (sm_{major}{minor}), "
                    f"only for {', '.join(torch.architectures)}."
                ),
                advice="Install a torch that supports this device: an older one for an old device, a newer one for a "
                "new device.",
            )


def _has_kernels(capability: tuple[int, int], architectures: Iterable[str]) -> bool:
    """Return True if some code runs on the device.

    Machine code runs on its own major version from its minor upwards; PTX (compute_…) on everything later.
    """
    for name in architectures:
        kind, _, digits = name.partition("_")
        digits = digits.rstrip("af")
        if not digits.isdigit():
            return True  # An unknown notation is not a problem.
        built = (int(digits[:-1] or 0), int(digits[-1]))
        if kind == "compute" and built <= capability:
            return True
        if kind == "sm" and built[0] == capability[0] and built[1] <= capability[1]:
            return True
    return False


def _old_torch(hardware: Hardware) -> Iterator[SetupProblem]:
    torch = hardware.torch
    if torch is None:
        return
    numbers = torch.version.split(".")[:2]
    if all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) < TORCH_MIN:
        yield SetupProblem(
            id="old_torch",
            message=f"torch {torch.version} is older than {TORCH_MIN[0]}.{TORCH_MIN[1]}, the oldest supported version.",
            advice="Update torch; newer kernels are often faster as well.",
        )


def _shared_memory_small(hardware: Hardware) -> Iterator[SetupProblem]:
    size = hardware.memory.shared_memory_bytes
    enough = min(SHARED_MEMORY_MIN_BYTES, SHARED_MEMORY_RAM_SHARE * hardware.memory_limit_bytes)
    if size is not None and size < enough:
        yield SetupProblem(
            id="shared_memory_small",
            message=f"/dev/shm has {size / MIB:.0f} MiB: data loader workers pass their batches through it.",
            advice="Start the container with --shm-size=8g or --ipc=host, or mount a larger tmpfs on /dev/shm.",
        )


def _quota_below_cores(hardware: Hardware) -> Iterator[SetupProblem]:
    cpu = hardware.cpu
    if cpu.quota_cpus is not None and cpu.quota_cpus < cpu.affinity_count:
        yield SetupProblem(
            id="quota_below_cores",
            message=(
                f"The control group allows {cpu.quota_cpus:g} CPUs' worth of time, but {cpu.affinity_count} CPUs are "
                "visible: libraries start a thread for each and are then throttled."
            ),
            advice=f"Use at most {max(1, int(cpu.quota_cpus))} threads and workers (OMP_NUM_THREADS, num_workers).",
        )


def _swapping(hardware: Hardware) -> Iterator[SetupProblem]:
    memory = hardware.memory
    if memory.swap_used_bytes >= max(SWAP_MIN_BYTES, SWAP_RAM_SHARE * memory.ram_bytes):
        yield SetupProblem(
            id="swapping",
            message=(
                f"{memory.swap_used_bytes / GIB:.1f} GiB are swapped out, with "
                f"{memory.available_bytes / GIB:.1f} GiB of memory available."
            ),
            advice="Stop other programs that need memory, or load less data into memory at once.",
        )


def _disk_full(hardware: Hardware) -> Iterator[SetupProblem]:
    disk = hardware.disk
    if disk is None or disk.free_bytes >= DISK_FREE_ENOUGH_BYTES:
        return
    if disk.free_bytes < max(DISK_FREE_MIN_BYTES, DISK_FREE_SHARE * disk.total_bytes):
        yield SetupProblem(
            id="disk_nearly_full",
            message=f"{disk.free_bytes / GIB:.1f} of {disk.total_bytes / GIB:.0f} GiB are free at {disk.path}.",
            advice="Free space before training: a checkpoint that cannot be written ends the run.",
        )


def _throttled(device: Accelerator) -> Iterator[SetupProblem]:
    reasons = [THROTTLES[name] for name in device.event_reasons if name in THROTTLES]
    if reasons:
        clock = ""
        if device.clock_sm_mhz is not None and device.clock_sm_max_mhz is not None:
            clock = f" at {device.clock_sm_mhz} of {device.clock_sm_max_mhz} MHz"
        heat = "" if device.temperature_c is None else f", {device.temperature_c} °C"
        yield SetupProblem(
            id="throttled",
            message=f"{_label(device)} runs{clock}{heat}: {'; '.join(reasons)}.",
            advice="Check the cooling, dust, fans and power supply.",
        )


def _power_limited(device: Accelerator) -> Iterator[SetupProblem]:
    limit, default = device.power_limit_w, device.power_limit_default_w
    if limit is not None and default is not None and limit < POWER_LIMIT_MIN_SHARE * default:
        yield SetupProblem(
            id="power_limited",
            message=f"{_label(device)} is limited to {limit:.0f} W; its default is {default:.0f} W.",
            advice=f"Unless this is intended, run: nvidia-smi -i {device.index} -pl {default:.0f}.",
        )


def _narrow_link(device: Accelerator) -> Iterator[SetupProblem]:
    if device.busy_fraction is None or device.busy_fraction < BUSY_MIN_FRACTION:
        return
    width, width_max = device.pcie_width_now, device.pcie_width_max
    generation, generation_max = device.pcie_generation_now, device.pcie_generation_max
    parts = []
    if width is not None and width_max is not None and width < width_max:
        parts.append(f"{width} of {width_max} lanes")
    if generation is not None and generation_max is not None and generation < generation_max:
        parts.append(f"generation {generation} instead of {generation_max}")
    if parts:
        yield SetupProblem(
            id="narrow_link",
            message=f"The PCIe link of {_label(device)} runs with {' and '.join(parts)} while the device is busy.",
            advice="Check the slot, the riser and the slot's setting in the firmware.",
        )


def _device_shared(device: Accelerator) -> Iterator[SetupProblem]:
    if device.other_processes and (device.busy_fraction or 0) >= BUSY_MIN_FRACTION:
        yield SetupProblem(
            id="device_shared",
            message=f"{device.other_processes} other process(es) keep {_label(device)} busy.",
            advice="Choose an idle device with CUDA_VISIBLE_DEVICES: measurements beside other processes are "
            "unreliable.",
        )


def _label(device: Accelerator) -> str:
    return f"{device.name} (device {device.index})"


def _major(version: str) -> int:
    head = version.split(".", 1)[0]
    return int(head) if head.isdigit() else 0


MACHINE_CHECKS: tuple[Callable[[Hardware], Iterator[SetupProblem]], ...] = (
    _driver_missing,
    _torch_missing,
    _cpu_only_build,
    _old_driver,
    _architecture_missing,
    _accelerators_hidden,
    _old_torch,
    _swapping,
    _shared_memory_small,
    _quota_below_cores,
    _disk_full,
)

DEVICE_CHECKS: tuple[Callable[[Accelerator], Iterator[SetupProblem]], ...] = (
    _throttled,
    _narrow_link,
    _power_limited,
    _device_shared,
)

"""Accelerators as the PCI bus lists them: TPUs, and devices that no driver serves.

To every library, a machine with a GPU but without its driver looks like a machine without a GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ._files import entries, read_int

VENDORS: Mapping[int, str] = {0x10DE: "NVIDIA", 0x1002: "AMD", 0x1AE0: "Google", 0x1DA3: "Habana"}

ACCELERATOR_CLASSES = (0x0302, 0x0380, 0x1200)
"""3D controller, other display controller, processing accelerator. See https://admin.pci-ids.ucw.cz/read/PD."""

VGA_CLASS = 0x0300
"""Class of consumer cards, and of the small graphics chips in servers, which are not of these makers."""


@dataclass(frozen=True, kw_only=True)
class BusDevice:
    vendor: str
    device_id: int
    driver: str | None
    """Kernel driver that serves it."""
    memory_bytes: int | None
    """Memory as amdgpu reports it; None for every other driver."""

    def __str__(self) -> str:
        return f"{self.vendor} {self.device_id:#06x}"


def bus(root: Path = Path("/")) -> tuple[BusDevice, ...]:
    """Return the accelerators on the PCI bus; `root` is the folder that holds /sys."""
    found = []
    for folder in entries(root / "sys/bus/pci/devices", "*"):
        vendor = VENDORS.get(read_int(folder / "vendor", base=16) or 0)
        device = read_int(folder / "device", base=16)
        kind = (read_int(folder / "class", base=16) or 0) >> 8
        # Google's and Habana's chips report various classes, and those makers have no other relevant devices.
        wanted = kind in ACCELERATOR_CLASSES or kind == VGA_CLASS or vendor in ("Google", "Habana")
        if vendor is None or device is None or not wanted:
            continue
        driver = folder / "driver"
        found.append(
            BusDevice(
                vendor=vendor,
                device_id=device,
                driver=driver.resolve().name if driver.exists() else None,
                memory_bytes=read_int(folder / "mem_info_vram_total"),
            )
        )
    return tuple(found)

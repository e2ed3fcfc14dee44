"""TPUs, found by the bus, the device files and the environment of a TPU machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..types.hardware import Accelerator
from ._files import entries
from .bus import BusDevice

PCI_GENERATIONS: Mapping[int, str] = {
    0x0027: "TPU v3",
    0x005E: "TPU v4",
    0x0062: "TPU v5p",
    0x0063: "TPU v5e",
    0x006F: "TPU v6e",
    0x0076: "TPU7x",
}
"""Device ids as listed in JAX's public hardware_utils.py; v2 and v3 share one."""

NAMES_IN_ENVIRONMENT: Mapping[str, str] = {
    "v2": "TPU v2",
    "v3": "TPU v3",
    "v4": "TPU v4",
    "v5litepod": "TPU v5e",
    "v5e": "TPU v5e",
    "v5p": "TPU v5p",
    "v6e": "TPU v6e",
    "tpu7x": "TPU7x",
}
"""First part of TPU_ACCELERATOR_TYPE, for example "v5litepod-8", → name."""


def tpu(
    devices: tuple[BusDevice, ...], *, environment: Mapping[str, str] | None = None, root: Path = Path("/")
) -> tuple[Accelerator, ...]:
    """Return one accelerator per chip; `devices` are those on the bus, `root` is the folder that holds /dev."""
    accelerator_type = (os.environ if environment is None else environment).get("TPU_ACCELERATOR_TYPE", "")
    generation = NAMES_IN_ENVIRONMENT.get(re.split(r"[-_]", accelerator_type.lower(), maxsplit=1)[0])
    chips = [generation or PCI_GENERATIONS.get(d.device_id, "TPU") for d in devices if d.vendor == "Google"]
    if not chips and generation is not None:
        # In a container the bus may be hidden, but the device files are passed in. Older ones are
        # /dev/accel*, newer ones /dev/vfio/*; without the environment they could be anybody's.
        files = entries(root / "dev", "accel[0-9]*") or entries(root / "dev/vfio", "[0-9]*")
        chips = [generation] * len(files)
    return tuple(Accelerator(index=i, kind="tpu", name=name, memory_bytes=None) for i, name in enumerate(chips))

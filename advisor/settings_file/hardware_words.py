"""The hardware that settings depend on, as a settings file describes it."""

from __future__ import annotations

from typing import Any

from ..types import Hardware


def hardware_words(hardware: Hardware) -> dict[str, Any]:
    """Describe the hardware that settings depend on, in words that a person can compare."""
    return {
        "cpu": hardware.cpu.model,
        "usable_cpus": hardware.cpu.usable_cpus,
        "ram_gib": round(hardware.memory_limit_bytes / 2**30, 1),
        "accelerators": [device.name for device in hardware.accelerators],
    }

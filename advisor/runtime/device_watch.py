"""Activity of the accelerator while the script runs, read from outside the script about once a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..hardware.nvidia import NvidiaDevices, nvidia

EVERY_S = 1.0
"""Seconds between samples; NVML itself averages its utilisation over about as long."""
BENIGN = ("sw_power_cap", "gpu_idle", "applications_clocks_setting")
"""Events of a healthy device: at full load it reaches its power cap, and an idle one clocks down."""


@dataclass(frozen=True, kw_only=True)
class DeviceSample:
    at_s: float
    busy_fraction: float | None
    memory_bytes: int | None
    events: tuple[str, ...]


class DeviceWatch:
    """Sampler of the devices that the script may see; the busiest of several counts."""

    def __init__(self, read: Callable[[], NvidiaDevices] = nvidia) -> None:
        self._read = read
        self._at_s = -EVERY_S
        self.samples: list[DeviceSample] = []

    def sample(self, at_s: float) -> DeviceSample | None:
        """Return the newest sample, taking one if the last is older than a second; None if no device answers."""
        if at_s - self._at_s >= EVERY_S:
            self._at_s = at_s
            devices = self._read().accelerators
            if devices:
                busiest = max(devices, key=lambda device: device.busy_fraction or 0.0)
                self.samples.append(
                    DeviceSample(
                        at_s=at_s,
                        busy_fraction=busiest.busy_fraction,
                        memory_bytes=busiest.memory_used_bytes,
                        events=tuple(event for event in busiest.event_reasons if event not in BENIGN),
                    )
                )
        return self.samples[-1] if self.samples else None

    def busy_fraction(self, begin_s: float, end_s: float) -> float | None:
        """Return the mean over the samples in between."""
        inside = [sample.busy_fraction for sample in self._between(begin_s, end_s) if sample.busy_fraction is not None]
        return sum(inside) / len(inside) if inside else None

    def events(self, begin_s: float, end_s: float) -> tuple[str, ...]:
        """Return the reasons for a reduced clock, each once, the most frequent first."""
        seen = [event for sample in self._between(begin_s, end_s) for event in sample.events]
        return tuple(sorted(set(seen), key=lambda event: (-seen.count(event), event)))

    def _between(self, begin_s: float, end_s: float) -> list[DeviceSample]:
        return [sample for sample in self.samples if begin_s <= sample.at_s <= end_s]

"""Energy counters of NVIDIA devices (NVML) and CPU packages (RAPL), in joules since some moment.

A counter covers the whole device or package, whoever keeps it busy.
RAPL: https://docs.kernel.org/power/powercap/powercap.html (energy_uj, max_energy_range_uj); since 2020 only root may
read it on most systems. NVML: nvmlDeviceGetTotalEnergyConsumption, in millijoules, Volta and newer.
"""

from __future__ import annotations

import bisect
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ._files import read_int, read_text

EVERY_S = 0.05
"""Seconds between readings: counters are updated at most every few milliseconds (RAPL) to 0.1 s (NVML)."""
KEPT = 200_000
"""Limit on readings, reached after almost three hours; then the oldest half is dropped."""
RAPL_FOLDER = "sys/class/powercap"
RAPL_NAMES = ("package", "dram")
"""Zones to count: packages include their cores, dram is separate, and psys would count both again."""
READ_ANEW_S = 2.0
"""Longest wait for the last reading when the meter is stopped."""


@dataclass(kw_only=True)
class Counter:
    """Growing counter; it restarts at `wraps_at` if it has a limit."""

    name: str
    read: Callable[[], float | None]
    """Function that returns joules, or None if the counter could not be read this time."""
    wraps_at: float | None = None
    _last: float | None = None
    _wrapped: float = 0.0

    def joules(self) -> float | None:
        """Return the joules without the jumps back; None if it cannot be read now."""
        value = self.read()
        if value is None:
            return None
        if self._last is not None and value < self._last:
            if self.wraps_at is None:
                return None
            self._wrapped += self.wraps_at
        self._last = value
        return self._wrapped + value


def rapl(root: Path = Path("/")) -> list[Counter]:
    """Return the readable counters of the CPU packages and their memory."""
    found = []
    for zone in sorted((root / RAPL_FOLDER).glob("intel-rapl:*")):  # AMD's have the same name
        name = (read_text(zone / "name") or "").strip()
        file = zone / "energy_uj"
        if name.partition("-")[0] in RAPL_NAMES and read_int(file) is not None:
            span = read_int(zone / "max_energy_range_uj")
            found.append(Counter(name=name, read=_of_file(file), wraps_at=span / 1e6 if span else None))
    return found


def _of_file(file: Path) -> Callable[[], float | None]:
    def read() -> float | None:
        value = read_int(file)
        return None if value is None else value / 1e6

    return read


def nvml(devices: Sequence[int], module: ModuleType | None = None) -> list[Counter]:
    """Return the counters of the NVIDIA devices with these indices, if they have one."""
    if module is None:
        import pynvml

        module = pynvml
    try:
        module.nvmlInit()
        handles = [(index, module.nvmlDeviceGetHandleByIndex(index)) for index in devices]
    except module.NVMLError:
        return []
    counters = [Counter(name=f"GPU {index}", read=_of_device(module, handle)) for index, handle in handles]
    return [counter for counter in counters if counter.read() is not None]


def _of_device(module: ModuleType, handle: Any) -> Callable[[], float | None]:
    def read() -> float | None:
        try:
            return float(module.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3
        except (module.NVMLError, AttributeError):
            return None

    return read


def counters(
    devices: Sequence[int], *, root: Path = Path("/"), module: ModuleType | None = None
) -> tuple[list[Counter], str]:
    """Return the readable counters for a script that may use these NVIDIA devices, or why there are none.

    If there are devices, their counters must be readable: the CPU's share alone would count a slower GPU as a saving.
    """
    of_cpu = rapl(root)
    if not devices:
        return of_cpu, "" if of_cpu else _why_no_rapl(root)
    of_devices = nvml(devices, module)
    if len(of_devices) < len(devices):
        return (
            [],
            f"NVML counts the energy of {len(of_devices)} of the {len(devices)} devices (those of the Volta "
            "generation or newer)",
        )
    return [*of_devices, *of_cpu], ""


def _why_no_rapl(root: Path) -> str:
    files = sorted((root / RAPL_FOLDER).glob("intel-rapl:*/energy_uj"))
    if files:
        readable = os.access(files[0], os.R_OK)
        return f"{files[0]} " + ("contains no number" if readable else "is readable by root only")
    return f"no energy counter of the CPU under {root / RAPL_FOLDER} (virtual machines and containers hide it)"


@dataclass(kw_only=True)
class Meter:
    """Background reader of counters, which can be asked for any period afterwards.

    Use it as a context manager.
    """

    counters: Sequence[Counter]
    clock: Callable[[], float] = time.monotonic
    _at_s: list[float] = field(default_factory=list)
    _joules: list[float] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _known: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sample(self) -> None:
        """Take one reading; a counter that does not answer keeps its last value."""
        with self._lock:
            known: Mapping[str, float | None] = {counter.name: counter.joules() for counter in self.counters}
            self._known |= {name: joules for name, joules in known.items() if joules is not None}
            self._at_s.append(self.clock())
            self._joules.append(sum(self._known.values()))
            if len(self._at_s) > KEPT:
                del self._at_s[: KEPT // 2], self._joules[: KEPT // 2]

    def joules(self, begin_s: float, end_s: float) -> float | None:
        """Return the joules used between two moments of the clock; None unless readings surround both.

        One is taken now if the period has just ended.
        """
        if self._at_s and self._at_s[-1] < end_s <= self.clock():
            self.sample()
        with self._lock:
            begin, end = self._standing(begin_s), self._standing(end_s)
        return None if begin is None or end is None else end - begin

    def _standing(self, at_s: float) -> float | None:
        place = bisect.bisect_left(self._at_s, at_s)
        if place < len(self._at_s) and self._at_s[place] == at_s:
            return self._joules[place]
        if not 0 < place < len(self._at_s):
            return None
        (early, late), (less, more) = self._at_s[place - 1 : place + 1], self._joules[place - 1 : place + 1]
        return less + (more - less) * (at_s - early) / (late - early)

    def __enter__(self) -> Meter:
        self.sample()
        self._thread = threading.Thread(target=self._watch, name="advisor-energy", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(READ_ANEW_S)

    def _watch(self) -> None:
        while not self._end.wait(EVERY_S):
            self.sample()

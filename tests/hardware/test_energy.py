"""Energy counters, in a tree made up as the kernel's and with a library that answers as NVML does."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from advisor.hardware import energy


def zone(
    root: Path, number: str, name: str, microjoules: int | str = 5_000_000, span: int | None = 262_143_000_000
) -> Path:
    folder = root / "sys/class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    if span is not None:
        (folder / "max_energy_range_uj").write_text(f"{span}\n")
    return folder


class Library(ModuleType):
    """Devices by index with their millijoules; None does not count."""

    class NVMLError(Exception): ...

    def __init__(self, *millijoules: int | None) -> None:
        super().__init__("pynvml")
        self.millijoules = millijoules

    def nvmlInit(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> Any:  # noqa: N802
        value = self.millijoules[handle]
        if value is None:
            raise self.NVMLError("Not Supported")
        return value


def test_packages_and_their_memory_count_and_nothing_twice(tmp_path: Path) -> None:
    for number, name in (("0", "package-0"), ("0:0", "core"), ("0:1", "dram"), ("1", "psys")):
        zone(tmp_path, number, name)
    assert [counter.name for counter in energy.rapl(tmp_path)] == ["package-0", "dram"]


def test_the_kernel_counts_in_microjoules(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", 1_500_000)
    assert energy.rapl(tmp_path)[0].joules() == 1.5


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    folder = zone(tmp_path, "0", "package-0", 9_000_000, span=10_000_000)
    (counter,) = energy.rapl(tmp_path)
    counter.joules()
    (folder / "energy_uj").write_text("1000000")
    assert counter.joules() == 11.0


def test_a_zone_without_a_number_is_left_out(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0", "no number")
    found, why = energy.counters((), root=tmp_path)
    assert found == []
    assert "contains no number" in why


def test_a_machine_without_counters_says_where_it_looked(tmp_path: Path) -> None:
    found, why = energy.counters((), root=tmp_path)
    assert found == []
    assert "sys/class/powercap" in why


def test_devices_count_in_millijoules_and_the_cpu_beside_them(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0")
    found, why = energy.counters((0, 1), root=tmp_path, module=Library(2500, 1000))
    assert [(counter.name, counter.joules()) for counter in found] == [
        ("GPU 0", 2.5),
        ("GPU 1", 1.0),
        ("package-0", 5.0),
    ]
    assert why == ""


def test_a_device_that_does_not_count_leaves_nothing_to_go_by(tmp_path: Path) -> None:
    zone(tmp_path, "0", "package-0")
    found, why = energy.counters((0, 1), root=tmp_path, module=Library(2500, None))
    assert found == []
    assert "1 of the 2" in why


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def metered(*readings: tuple[float, float | None]) -> energy.Meter:
    """A meter with these (second, joules)."""
    clock, values = Clock(), iter([value for _at, value in readings])
    meter = energy.Meter(counters=[energy.Counter(name="one", read=lambda: next(values))], clock=clock)
    for at_s, _value in readings:
        clock.now_s = at_s
        meter.sample()
    return meter


def test_a_stretch_between_readings_gets_its_part() -> None:
    assert metered((0.0, 100.0), (1.0, 110.0), (2.0, 130.0)).joules(0.5, 1.5) == pytest.approx(15.0)


@pytest.mark.parametrize("stretch", [(-1.0, 0.5), (0.5, 3.0)])
def test_what_lies_outside_the_readings_is_not_known(stretch: tuple[float, float]) -> None:
    assert metered((0.0, 100.0), (1.0, 110.0)).joules(*stretch) is None


def test_a_reading_that_fails_once_takes_nothing_away() -> None:
    assert metered((0.0, 100.0), (1.0, None), (2.0, 120.0)).joules(0.0, 2.0) == pytest.approx(20.0)


def test_it_reads_by_itself_while_it_is_open() -> None:
    enough = threading.Event()

    def read() -> float:
        numbers.append(len(numbers))
        if len(numbers) > 3:
            enough.set()
        return float(len(numbers))

    numbers: list[int] = []
    with energy.Meter(counters=[energy.Counter(name="one", read=read)]):
        assert enough.wait(60)

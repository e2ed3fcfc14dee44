"""The accelerator watched from outside; NVML's answers are stood in for, since no device is here."""

from __future__ import annotations

from advisor.hardware.nvidia import NvidiaDevices
from advisor.runtime.device_watch import DeviceWatch
from advisor.types import Accelerator


def device(busy: float, events: tuple[str, ...] = ()) -> Accelerator:
    return Accelerator(
        index=0,
        kind="cuda",
        name="NVIDIA H100",
        memory_bytes=80 * 2**30,
        busy_fraction=busy,
        memory_used_bytes=2**30,
        event_reasons=events,
    )


def watching(*answers: tuple[Accelerator, ...]) -> DeviceWatch:
    left = list(answers)
    return DeviceWatch(read=lambda: NvidiaDevices(accelerators=left.pop(0)))


def test_the_busiest_device_counts() -> None:
    sample = watching((device(0.1), device(0.9))).sample(0.0)
    assert sample is not None
    assert sample.busy_fraction == 0.9


def test_it_asks_once_a_second() -> None:
    watch = watching((device(0.1),), (device(0.5),))
    assert [watch.sample(at).busy_fraction for at in (0.0, 0.4, 0.9, 1.1)] == [0.1, 0.1, 0.1, 0.5]  # type: ignore[union-attr]


def test_means_are_of_the_window_asked_for() -> None:
    watch = watching((device(0.0),), (device(0.6),), (device(0.8),))
    for at in (0.0, 1.0, 2.0):
        watch.sample(at)
    assert watch.busy_fraction(0.5, 2.5) == 0.7


def test_events_that_slow_are_told_and_those_of_a_healthy_device_are_not() -> None:
    watch = watching((device(0.9, ("sw_power_cap",)),), (device(0.9, ("hw_thermal", "sw_power_cap")),))
    for at in (0.0, 1.0):
        watch.sample(at)
    assert watch.events(0.0, 1.0) == ("hw_thermal",)


def test_without_a_device_nothing_is_known() -> None:
    watch = watching(())
    assert watch.sample(0.0) is None
    assert watch.busy_fraction(0.0, 1.0) is None

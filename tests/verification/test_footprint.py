"""Whether processes fit side by side: what each needs, what is free, and what is said where they do not."""

from __future__ import annotations

import pytest

from advisor import wire
from advisor.hardware.nvidia import NvidiaDevices
from advisor.runtime.device_watch import DeviceSample, DeviceWatch
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.types import UsagePoint
from advisor.types.hardware import Accelerator
from advisor.verification import footprint
from advisor.verification.footprint import Footprint, Room, free_room, misfit

GIB = 2**30


def script_run(*rss_gib: float, device_gib: tuple[float, ...] = (), ranks: int = 1) -> ScriptRunRecord:
    record = ScriptRunRecord(number=0, started="", first_update_at_s=7.0)
    record.hello = wire.Hello(version=1, token="", pid=1, world_size=ranks)
    record.usage = [
        UsagePoint(
            at_s=float(at),
            accelerator_busy_fraction=None,
            accelerator_memory_bytes=None,
            tree_cpus=1.0,
            rss_bytes=round(gib * GIB),
            processes=1,
            threads=1,
        )
        for at, gib in enumerate(rss_gib)
    ]
    if device_gib:
        record.devices = DeviceWatch(NvidiaDevices)
        record.devices.samples = [
            DeviceSample(at_s=float(at), busy_fraction=1.0, memory_bytes=round(gib * GIB), events=())
            for at, gib in enumerate(device_gib)
        ]
    return record


def test_a_process_needs_its_peak() -> None:
    found = Footprint.of([script_run(1, 3, 2), script_run(2)])
    assert found == Footprint(host_bytes=3 * GIB, start_s=7.0)


def test_on_the_device_it_needs_what_the_device_held_more_of() -> None:
    found = Footprint.of([script_run(1, device_gib=(5, 5, 25, 20))])
    assert found is not None
    assert found.device_bytes == 20 * GIB


def test_ranks_are_seen() -> None:
    found = Footprint.of([script_run(1, ranks=4)])
    assert found is not None
    assert found.ranks == 4


def test_of_processes_that_were_not_watched_nothing_is_known() -> None:
    assert Footprint.of([]) is None
    assert Footprint.of([script_run()]) is None


def test_a_device_that_was_not_watched_is_not_one_that_was_not_used() -> None:
    unwatched, unused = Footprint.of([script_run(1)]), Footprint.of([script_run(1, device_gib=(5, 5))])
    assert unwatched is not None
    assert unused is not None
    assert (unwatched.device_bytes, unused.device_bytes) == (None, 0)


def test_a_version_that_was_not_seen_may_need_more() -> None:
    assert needs(4, 8).scaled(1.25) == needs(5, 10)
    assert needs(4, None).scaled(1.25) == needs(5, None)


def needs(host_gib: float, device_gib: float | None = None) -> Footprint:
    device_bytes = None if device_gib is None else round(device_gib * GIB)
    return Footprint(host_bytes=round(host_gib * GIB), device_bytes=device_bytes)


def test_what_fits_fits_with_a_margin() -> None:
    room = Room(host_bytes=10 * GIB)
    assert misfit([needs(4), needs(4)], room, has_devices=False) is None
    assert misfit([needs(4), needs(4.1)], room, has_devices=False) == (
        "they need 8.1 GiB of memory together, and 10.0 GiB are free"
    )


@pytest.mark.parametrize(
    ("device_gib", "free_gib", "said"),
    [
        (30.0, 80, None),
        (35.0, 80, "they need 70.0 GiB of device memory, and 80.0 GiB are free"),
        (0.0, 80, None),
        (None, 80, "the memory that they take on the device is not known"),
        (30.0, None, "the memory that they take on the device is not known"),
    ],
)
def test_so_must_the_device(device_gib: float | None, free_gib: int | None, said: str | None) -> None:
    room = Room(host_bytes=100 * GIB, device_bytes=None if free_gib is None else free_gib * GIB)
    assert misfit([needs(1, device_gib)] * 2, room, has_devices=True) == said


def test_the_fullest_device_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = tuple(
        Accelerator(index=index, kind="cuda", name="GPU", memory_bytes=80 * GIB, memory_used_bytes=used * GIB)
        for index, used in enumerate((10, 70))
    )
    monkeypatch.setattr(footprint, "nvidia", lambda: NvidiaDevices(accelerators=devices))
    room = free_room()
    assert room.device_bytes == 10 * GIB
    assert room.host_bytes > 0


def test_without_devices_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "nvidia", NvidiaDevices)
    assert free_room().device_bytes is None

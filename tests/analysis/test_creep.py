"""Growth of memory: leaks, and what an allocator does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from advisor import wire
from advisor.analysis.creep import creep

from .windows import done

MIB = 2**20


def window(rss: list[float], elements: list[int] | None = None) -> wire.WindowDone:
    found = done("w", [0.1] * len(rss))
    return replace(found, rss_bytes=[int(value) for value in rss], elements=elements or [64])


def padded(count: int, leak: float, seed: int) -> tuple[list[float], list[int]]:
    """Resident memory of batches of random length: it keeps what the longest needed, and a part of each."""
    rng = random.Random(seed)
    rss, sizes, most = [], [], 0.0
    for index in range(count):
        size = int(64 * rng.lognormvariate(4, 0.6))
        most = max(most, size * 30_000.0)
        sizes.append(size)
        rss.append(400 * MIB + most + rng.random() * 2 * MIB + leak * index)
    return rss, sizes


def test_forty_padded_batches_are_no_leak() -> None:
    for seed in range(20):
        found = creep([window(*padded(40, 0.0, seed))], on_device=False)
        assert found is None or not found.confirmed, seed


def test_a_leak_beside_padded_batches_is_one() -> None:
    found = creep([window(*padded(400, 3 * MIB, 1))], on_device=False)
    assert found is not None
    assert found.confirmed
    assert found.slope.value == pytest.approx(3 * MIB, rel=0.01)


def test_memory_that_grows_in_steps_is_no_leak() -> None:
    """Two pools that an allocator adds, late: the slope of the second half is as steep as that of all."""
    rng = random.Random(0)
    steps = (55, 65, 75)
    rss = [400 * MIB + rng.random() * MIB + 40 * MIB * sum(index > step for step in steps) for index in range(100)]
    found = creep([window(rss)], on_device=False)
    assert found is not None
    assert found.slope.low > 0
    assert not found.confirmed

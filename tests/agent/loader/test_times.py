"""Which fetches are timed, and what they stand for."""

from __future__ import annotations

import time

from torch.utils.data import DataLoader

from advisor.agent.loader import times

from ..loader_kit import Loop, Numbers


def weights(every_ns: int, count: int) -> list[int]:
    """The weights of fetches that begin so far apart, and take no time."""
    collate = times.TimedCollate(len, ([0] * times.CELLS, 0), in_worker=False, auto=True)
    begin, found = time.perf_counter_ns() + 10**9, []
    for number in range(count):
        found.append(collate.begin(begin + number * every_ns))
        collate([1, 2])
    return found


def test_a_timed_fetch_stands_for_the_short_ones_before_it() -> None:
    assert weights(700_000, 8) == [1, 0, 0, 3, 0, 0, 3, 0]


def test_fetches_of_longer_updates_are_all_timed() -> None:
    assert weights(times.TIMED_EVERY_NS, 4) == [1, 1, 1, 1]


def test_the_sums_are_those_of_all_fetches(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(3000), batch_size=1))
    (record,) = loop.hooks.register.records
    sums = dict(zip(times.TOTALS, record.work() or (), strict=True))
    assert 0.95 * 3000 <= sums[times.FETCHES] <= 3000
    assert min(sums[times.FETCH_NS], sums[times.COLLATE_NS], sums[times.FETCH_CPU_NS]) > 0

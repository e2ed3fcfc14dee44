"""Ranks compared update by update, and a device's collectives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from report import sample

from advisor import wire
from advisor.analysis.ranks import paced_by_the_slowest, ranks_and_waits
from advisor.rules._rank_examples import rank_facts
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.session_result import SessionResult
from advisor.types import DeviceUse, Workload
from analysis.windows import done


def window(rank: int, wall_s: Sequence[float], waits_s: Sequence[float], **fields: Any) -> wire.WindowDone:
    return replace(done("first", wall_s), rank=rank, communication_s=list(waits_s), **fields)


def of(*windows: wire.WindowDone, world_size: int | None = None) -> ScriptRunRecord:
    record = ScriptRunRecord(number=0, started="")
    for one in windows:
        hello = wire.Hello(
            version=2, token="", pid=100 + one.rank, rank=one.rank, world_size=world_size or len(windows)
        )
        record.ranks.take(hello)
        record.ranks.take(one)
    return record


def workload(device: str = "cpu", backend: str = "gloo") -> Workload:
    return replace(sample.workload(device=device), world_size=2, ranks=rank_facts(backend=backend))


def test_the_last_rank_of_each_update_shows_the_sending_and_the_rest_is_waiting() -> None:
    """The ranks come late in turn: each waits 10 ms for the other in one of two updates, and both send for 2 ms."""
    one, two = window(0, [0.1, 0.1], [0.002, 0.012]), window(1, [0.1, 0.1], [0.012, 0.002])
    ranks, waits = ranks_and_waits(one, of(one, two), 0, workload(), None)
    assert waits is not None
    assert (waits.sending_s, waits.waiting_s) == (pytest.approx(0.002), pytest.approx(0.005))
    assert (waits.slowest_s, waits.even_s) == (pytest.approx(0.098), pytest.approx(0.093))
    assert [rank.own_s for rank in ranks] == pytest.approx([0.093, 0.093])
    assert [rank.slowest_without_s for rank in ranks] == pytest.approx([0.093, 0.093])
    assert [rank.pid for rank in ranks] == [100, 101]


def test_elements_are_compared_within_an_update() -> None:
    one = window(0, [0.1, 0.1], [0.001, 0.001], elements=[100, 300])
    two = window(1, [0.1, 0.1], [0.001, 0.001], elements=[300, 100])
    ranks, waits = ranks_and_waits(one, of(one, two), 0, workload(), None)
    assert waits is not None
    assert waits.elements_imbalance == pytest.approx(1.5)  # though both have as many on average
    assert {rank.elements_per_update for rank in ranks} == {200}


@pytest.mark.parametrize(("accompanied", "imbalance"), [(1, pytest.approx(1.5)), (9, None)])
def test_updates_that_a_rank_only_accompanies_say_nothing_of_the_batches(accompanied: int, imbalance: object) -> None:
    count = 2 + accompanied
    one = window(0, [0.1] * count, [0.001] * count, elements=[100, 100, *[0] * accompanied])
    two = window(1, [0.1] * count, [0.001] * count, elements=[300] * count)
    _ranks, waits = ranks_and_waits(one, of(one, two), 0, workload(), None)
    assert waits is not None
    assert waits.elements_imbalance == imbalance


def test_updates_cut_from_one_rank_are_cut_from_all() -> None:
    one, two = window(0, [5.0, 0.1], [0.0, 0.01]), window(1, [5.0, 0.1], [4.0, 0.01])
    _ranks, waits = ranks_and_waits(one, of(one, two), 1, workload(), None)
    assert waits is not None
    assert waits.update_s == pytest.approx(0.1)
    assert waits.waiting_s == pytest.approx(0)


def test_nothing_is_compared_before_all_ranks_have_reported() -> None:
    one, two = window(0, [0.1], [0.01]), window(1, [0.1], [0.01])
    ranks, waits = ranks_and_waits(one, of(one, two, world_size=3), 0, workload(), None)
    assert waits is None
    assert [rank.own_s for rank in ranks] == [None, None]
    assert ranks_and_waits(one, of(one, window(1, [0.1], [])), 0, workload(), None)[1] is None


def test_on_a_device_the_collectives_that_nothing_hides_count() -> None:
    device = DeviceUse(**{**sample_device(), "traced_update_s": 0.1, "nccl_exposed_s": 0.03})
    one, two = window(0, [0.1], [0.001]), window(1, [0.1], [0.001])
    record = of(one, two)
    traced = {"device": {"traced_update_s": 0.1, "nccl_exposed_s": 0.01}}
    record.ranks.take(replace(done("device", [0.1]), rank=1, extra=traced))
    ranks, waits = ranks_and_waits(one, record, 0, workload("cuda", "nccl"), device)
    assert waits is not None
    assert (waits.source, waits.sending_s, waits.waiting_s) == ("device", pytest.approx(0.01), pytest.approx(0.01))
    assert [rank.own_s for rank in ranks] == pytest.approx([0.07, 0.09])
    assert ranks_and_waits(one, of(one, two), 0, workload("cuda", "nccl"), device)[1] is None  # rank 1 has no trace


def sample_device() -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(sample.device_use()), "gaps": (), "syncs": ()}


def test_ranks_that_do_not_wait_for_each_other_are_as_fast_as_the_slowest() -> None:
    free = wire.Window(id="first", what_if="no_communication")
    one, two = window(0, [0.05], []), window(1, [0.09], [])
    result = SessionResult(
        outcomes={"first": one}, windows={"first": free}, script_run_of={"first": 0}, script_runs=[of(one, two)]
    )
    assert paced_by_the_slowest(result).outcomes["first"] == two
    bound = replace(result, windows={"first": replace(free, what_if="no_optimizer")})
    assert paced_by_the_slowest(bound).outcomes["first"] == one

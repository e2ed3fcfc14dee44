"""Starts of iterators: the time that a sampler takes for the first indices, and the batches taken from each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from torch.utils.data import BatchSampler, DataLoader, Sampler

from advisor.agent.loader.record import is_library
from advisor.agent.loop.clock import DATA_WAIT, RESTART

from ..loader_kit import Loop, Numbers

DRAW_S = 0.2


class Slow(Sampler[int]):
    """Sorts everything before it gives the first index."""

    def __len__(self) -> int:
        return 40

    def __iter__(self) -> Iterator[int]:
        time.sleep(DRAW_S)
        yield from range(40)


def sums(loop: Loop) -> dict[str, Any]:
    found = loop.hooks.take_sums()
    assert found is not None
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_the_drawing_of_an_epoch_is_part_of_its_start(loop: Loop, workers: int) -> None:
    loader = DataLoader(Numbers(40), batch_size=4, sampler=Slow(), num_workers=workers)
    loop.epoch(loader)
    loop.epoch(loader)
    found = sums(loop)
    assert found["restarts"] == 2
    assert 2 * DRAW_S <= found["draw_s"] <= found["restart_s"]
    restarts_s = sum(update.phases_ns[RESTART] for update in loop.updates) / 1e9
    assert restarts_s == pytest.approx(found["restart_s"], rel=0.2)
    if not workers:
        assert sum(update.phases_ns[DATA_WAIT] for update in loop.updates) / 1e9 < 2 * DRAW_S


def test_an_iterator_for_every_batch_is_a_start_for_every_batch(loop: Loop) -> None:
    loader = DataLoader(Numbers(40), batch_size=4, sampler=Slow())
    for _update in range(3):
        next(iter(loader))
        loop.step()
    found = sums(loop)
    assert (found["restarts"], found["batches"]) == (3, 3)
    assert found["draw_s"] >= 3 * DRAW_S


def test_a_samplers_place_is_the_scripts_own_only(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(40), batch_size=4, sampler=Slow()))
    loop.epoch(DataLoader(Numbers(40), batch_size=4, shuffle=True))
    own, torchs = loop.hooks.facts()
    assert (own["sampler_class"], torchs["sampler_class"]) == ("Slow", "RandomSampler")
    assert own["sampler_where"].startswith(f"{__file__}:")
    assert torchs["sampler_where"] is None


class Buckets(Sampler[list[int]]):
    def __iter__(self) -> Iterator[list[int]]:
        yield from ([n, n + 1] for n in range(0, 40, 2))


def test_a_batch_sampler_of_the_scripts_own_draws_the_order(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(40), batch_sampler=Buckets()))
    loop.epoch(DataLoader(Numbers(40), batch_sampler=BatchSampler(Slow(), 4, drop_last=False)))
    assert [facts["sampler_class"] for facts in loop.hooks.facts()] == ["Buckets", "Slow"]


def test_an_installed_package_is_a_library_wherever_it_lies() -> None:
    assert is_library("/another/environment/lib/python3.12/site-packages/lightning/fabric/utilities/data.py")
    assert not is_library(__file__)


def test_the_start_of_a_loader_whose_role_is_not_known_is_kept_with_it(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(8), batch_size=4))
    evaluation = DataLoader(Numbers(40), batch_size=4, sampler=Slow())
    for _batch in evaluation:
        pass
    loop.step()
    kept = loop.updates[-1].beginnings
    assert DRAW_S <= sum(spent_ns for _record, spent_ns in kept) / 1e9 <= loop.updates[-1].phases_ns[RESTART] / 1e9
    assert {record for record, _spent_ns in kept} == {loop.hooks.register.find(evaluation)}

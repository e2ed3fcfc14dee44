"""prefetch_factor: more batches ahead where there are workers, an epoch and memory for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import GIB, evolve, healthy_cpu, train_loader
from advisor.types import Evidence

KNOB = knobs.get("prefetch_factor")


def values(changes: dict[str, Any] | None = None, **loader: Any) -> Any:
    evidence: Evidence = evolve(healthy_cpu(), {"workload": {"loaders": (train_loader(**loader),)}})
    evidence = evolve(evidence, changes or {})
    return KNOB.values(evidence.hardware, evidence.workload)


def test_twice_as_many_as_written_come_first() -> None:
    assert values(prefetch_factor=4).values == (8, 16)


def test_without_workers_as_written_it_needs_those_that_are_tried() -> None:
    found = values(num_workers=0, prefetch_factor=None)
    assert (found.values, KNOB.needs, found.needed_is_on) == ((4, 8, 16), "num_workers", False)
    assert values(prefetch_factor=4).needed_is_on


def test_many_already_close_it() -> None:
    assert "already prefetches 16 batches" in values(prefetch_factor=16).why_closed


def test_no_more_than_an_epoch_has() -> None:
    assert values(num_workers=2, length_batches=20).values == (4, 8)


def test_an_epoch_that_is_fetched_whole_closes_it() -> None:
    assert "an epoch has 5 batches" in values(num_workers=2, length_batches=5).why_closed


def test_no_more_than_the_shared_memory_holds() -> None:
    large = {"workload": {"batch_shapes": ("float32[64, 3, 512, 512]",)}}  # 192 MiB a batch
    room = {"hardware": {"memory": {"shared_memory_free_bytes": 8 * GIB}}}
    assert values(large | room, num_workers=2).values == (4,)


def test_memory_for_none_closes_it_and_both_numbers_are_said() -> None:
    large = {"workload": {"batch_shapes": ("float32[64, 3, 512, 512]",)}}
    room = {"hardware": {"memory": {"shared_memory_free_bytes": 4 * GIB}}}
    assert "are 1536 MiB, and they may take 1024 MiB" in values(large | room, num_workers=2).why_closed


def test_the_tier_is_that_of_workers() -> None:
    found = [evolve(healthy_cpu(), {"workload": {"facts": {"dataset_draws": told}}}) for told in (False, True)]
    assert [KNOB.effect(e.hardware, e.workload) for e in found] == ["exact", "resampled"]


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_a_window_of_it_leaves_every_bit_as_it_is(tmp_path: Path, persistent: bool) -> None:
    code = f"""
    make = lambda: images(num_workers=1, persistent_workers={persistent})
    wanted = train(make_loader=make)
    hook()
    switched = train({{3: {{"prefetch_factor": 4}}, 15: {{}}}}, make_loader=make)
    print(switched.same(wanted), switched.epochs == wanted.epochs)
    """
    assert says(tmp_path, code) == "True True"


@pytest.mark.slow
def test_so_many_batches_are_ahead_and_again_as_many_as_written_afterwards(tmp_path: Path) -> None:
    code = """
    hook()
    seen = []
    look = lambda number: seen.append(loaders.in_flight_batches())
    long = torch.utils.data.ConcatDataset([Images()] * 8)
    make = lambda: DataLoader(long, batch_size=4, num_workers=1)
    train({3: {"prefetch_factor": 5}, 15: {}}, make_loader=make, look=look)
    print(seen[1], seen[4], seen[16])
    """
    assert says(tmp_path, code) == "2 5 2"

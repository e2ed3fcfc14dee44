"""cache_dataset: samples kept in memory where they are the same in every epoch, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import GIB, evolve, healthy_cpu, train_loader
from advisor.types import Evidence

KNOB = knobs.get("cache_dataset")


def evidence(workload: dict[str, Any] | None = None, **loader: Any) -> Evidence:
    found: Evidence = evolve(healthy_cpu(), {"workload": {"loaders": (train_loader(**loader),), **(workload or {})}})
    return found


def values(workload: dict[str, Any] | None = None, **loader: Any) -> Any:
    found = evidence(workload, **loader)
    return KNOB.values(found.hardware, found.workload)


# --- in the controller ------------------------------------------------------------------------------------------------


def test_a_dataset_that_fits_into_half_of_the_free_memory_opens_it() -> None:
    assert values().values == (True,)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iterable": True, "dataset_class": "Tar"}, "Tar is iterable"),
        ({"dataset_class": "TensorDataset"}, "already holds its samples"),
        ({"length_samples": 40_000_000}, "76.3 GiB, and 12.0 GiB may be taken"),
    ],
)
def test_what_closes_it_is_said(changes: dict[str, Any], reason: str) -> None:
    assert reason in values(**changes).why_closed


def test_a_sampler_that_draws_each_sample_often_needs_no_larger_cache() -> None:
    assert values(length_samples=10**10, dataset_samples=32_000).values == (True,)


def test_random_augmentation_closes_it() -> None:
    assert "Images draws random numbers" in values({"facts": {"dataset_draws": True}}).why_closed


def test_the_limit_of_a_container_counts() -> None:
    small = evolve(evidence(length_samples=1_000_000), {"hardware": {"memory": {"limit_bytes": 2 * GIB}}})
    assert "1.0 GiB may be taken" in str(KNOB.values(small.hardware, small.workload).why_closed)


def test_workers_as_written_are_said_to_be_left_out() -> None:
    assert "the script's 2 workers are then unused" in values(num_workers=2).why


@pytest.mark.parametrize(
    ("workers", "dataset", "collate", "effect"),
    [
        (0, False, False, "exact"),
        (0, False, True, "exact"),
        (2, False, False, "exact"),
        (2, False, None, "exact"),
        (2, False, True, "resampled"),
        (2, None, None, "resampled"),
    ],
)
def test_the_tier_hangs_on_what_draws_and_where(
    workers: int, dataset: bool | None, collate: bool | None, effect: str
) -> None:
    facts = {"dataset_draws": dataset, "collate_draws": collate}
    found = evidence({"facts": facts}, num_workers=workers)
    assert KNOB.effect(found.hardware, found.workload) == effect


# --- in a live loop ---------------------------------------------------------------------------------------------------

CACHED = """
CACHED = {"cache_dataset": True}
reads = []

class Counted(Images):
    '''Tells which samples are read in the script's own process.'''
    def __getitem__(self, index):
        reads.append(index)
        return super().__getitem__(index)

def counted(**settings):
    return DataLoader(Counted(), batch_size=4, shuffle=True, **settings)

def why_refused(make_loader, **settings):
    told = []
    def look(number):
        if number >= 3:
            try:
                controls.set_config({**CACHED, **settings})
            except Refused as refusal:
                told.append(str(refusal))
    train(make_loader=make_loader, look=look, epochs=1)
    return told[0] if told else None
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("edit", [False, True])
def test_a_window_of_it_leaves_every_bit_as_it_is(tmp_path: Path, workers: int, edit: bool) -> None:
    code = f"""
    make = lambda: images(num_workers={workers})
    wanted = train(make_loader=make, epochs=5, edit={edit})
    hook()
    switched = train({{3: CACHED, 27: {{}}}}, make_loader=make, epochs=5, edit={edit})
    print(switched.same(wanted), switched.epochs == wanted.epochs)
    """
    assert says(tmp_path, CACHED, code) == "True True"


def test_each_sample_is_read_once_from_then_on(tmp_path: Path) -> None:
    code = """
    hook()
    seen = []
    train({6: CACHED}, make_loader=counted, look=lambda number: seen.append(len(reads)))
    print(seen[11] - seen[5], seen[-1] - seen[11])
    """
    assert says(tmp_path, CACHED, code) == "24 0"


def test_before_a_window_the_samples_of_the_epoch_are_read_ahead(tmp_path: Path) -> None:
    code = """
    loaders.fill_caches(30.0)
    hook()
    seen = []
    train({6: CACHED}, make_loader=counted, look=lambda number: seen.append(len(reads)))
    print(seen[7] - seen[6], seen[-1] - seen[7])
    """
    assert says(tmp_path, CACHED, code) == "0 0"


def test_reading_ahead_leaves_every_bit_as_it_is(tmp_path: Path) -> None:
    code = """
    wanted = train(make_loader=images)
    loaders.fill_caches(30.0)
    hook()
    switched = train({3: CACHED, 15: {}}, make_loader=images)
    print(switched.same(wanted), switched.epochs == wanted.epochs)
    """
    assert says(tmp_path, CACHED, code) == "True True"


def test_another_batch_size_keeps_the_samples(tmp_path: Path) -> None:
    code = """
    hook()
    switched = train({3: CACHED, 9: {**CACHED, "global_batch": 8}, 12: {}}, make_loader=counted)
    print([sorted(epoch) == list(range(24)) for epoch in switched.epochs])
    """
    assert says(tmp_path, CACHED, code) == "[True, True, True, True]"


def test_reading_ahead_in_other_batches_keeps_the_order(tmp_path: Path) -> None:
    code = """
    wanted = train()
    loaders.fill_caches(30.0)
    hook()
    switched = train({2: {"global_batch": 3}, 4: {**CACHED, "global_batch": 3}, 9: CACHED, 15: {}})
    print(switched.epochs == wanted.epochs)
    """
    assert says(tmp_path, CACHED, code) == "True"


def test_a_batch_that_the_loop_edits_is_not_what_is_kept(tmp_path: Path) -> None:
    """Also where the collate function gives out the samples themselves."""
    code = """
    def first_only(samples):
        (image, number), = samples
        return image[None], torch.tensor([number])
    make = lambda: DataLoader(Images(8), batch_size=1, collate_fn=first_only)
    wanted = train(make_loader=make, edit=True)
    hook()
    print(train({3: CACHED}, make_loader=make, edit=True).same(wanted))
    """
    assert says(tmp_path, CACHED, code) == "True"


def test_a_buffer_that_the_dataset_fills_anew_is_not_what_is_kept(tmp_path: Path) -> None:
    code = """
    class Buffered(Images):
        buffer = torch.zeros(3, 8, 8)
        def __getitem__(self, index):
            self.buffer.fill_(index)
            return self.buffer.clone() if index < 0 else self.buffer, index
    make = lambda: DataLoader(Buffered(8), batch_size=1)
    wanted = train(make_loader=make)
    hook()
    print(train({3: CACHED}, make_loader=make).same(wanted))
    """
    assert says(tmp_path, CACHED, code) == "True"


def test_samples_are_read_at_once_where_the_dataset_can(tmp_path: Path) -> None:
    code = """
    class AtOnce(Images):
        def __getitems__(self, indices):
            reads.append(list(indices))
            return [self[index] for index in indices]
    make = lambda: DataLoader(AtOnce(), batch_size=4)
    wanted = train(make_loader=make)
    hook()
    reads.clear()
    print(train({6: CACHED}, make_loader=make).same(wanted), reads[-1])
    """
    assert says(tmp_path, CACHED, code) == "True [20, 21, 22, 23]"


def test_a_dataset_that_the_script_changes_is_read_again(tmp_path: Path) -> None:
    code = """
    class Curriculum(Images):
        scale = 1.0
        def __init__(self):
            super().__init__()
            self.scale = 1.0
        def __getitem__(self, index):
            image, index = super().__getitem__(index)
            return image * self.scale, index
    class Setting(DataLoader):
        def __iter__(self):
            self.dataset.scale = self.dataset.scale + 0.5
            return super().__iter__()
    make = lambda: Setting(Curriculum(), batch_size=4)
    wanted = train(make_loader=make)
    hook()
    print(train({3: CACHED}, make_loader=make).same(wanted))
    """
    assert says(tmp_path, CACHED, code) == "True"


REFUSED = {
    "draws random numbers": "Images(noise=True)",
    "differs": "Elsewhere()",
    "Counter.reads changes": "Counter()",
    "cannot be compared": "Odd()",
    "cannot be read: KeyError": "Broken()",
}
DATASETS = """
import itertools, os

class Elsewhere(Images):
    '''Draws where no random state shows it.'''
    def __getitem__(self, index):
        return torch.full((3, 8, 8), float(os.urandom(8)[0] + 256 * next(self.count))), index
    count = itertools.count()

class Counter(Images):
    def __init__(self):
        super().__init__()
        self.reads = 0
    def __getitem__(self, index):
        self.reads += 1
        return super().__getitem__(index)

class Opaque:
    __slots__ = ()

class Odd(Images):
    def __getitem__(self, index):
        return Opaque(), *super().__getitem__(index)

class Broken(Images):
    '''Like a dataset that asks who reads it.'''
    def __getitem__(self, index):
        if torch.utils.data.get_worker_info() is None:
            raise KeyError(index)
        return super().__getitem__(index)

def without_odd(samples):
    return torch.utils.data.default_collate([sample[-2:] for sample in samples])
"""


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, reason: str) -> None:
    code = f"""
    hook()
    made = lambda: DataLoader({REFUSED[reason]}, batch_size=4, num_workers={int("Broken" in REFUSED[reason])},
                              collate_fn=without_odd)
    print(why_refused(made))
    """
    assert reason in says(tmp_path, CACHED, DATASETS, code)


def test_a_refusal_leaves_the_script_as_it_is(tmp_path: Path) -> None:
    code = """
    make = lambda: DataLoader(Images(noise=True), batch_size=4, shuffle=True)
    wanted = train(make_loader=make, epochs=1)
    hook()
    def look(number):
        try:
            controls.set_config(CACHED)
        except Refused:
            pass
    print(train(make_loader=make, epochs=1, look=look).same(wanted))
    """
    assert says(tmp_path, CACHED, code) == "True"


def test_workers_that_are_asked_for_are_refused(tmp_path: Path) -> None:
    assert "num_workers=2" in says(tmp_path, CACHED, "hook()\nprint(why_refused(images, num_workers=2))")


def test_no_workers_may_be_asked_for(tmp_path: Path) -> None:
    code = "hook()\nprint(why_refused(lambda: images(num_workers=1), num_workers=0))"
    assert says(tmp_path, CACHED, code) == "None"


def test_more_than_half_of_the_free_memory_is_refused_and_all_numbers_are_said(tmp_path: Path) -> None:
    code = """
    from advisor.agent.loader import sample_cache
    sample_cache.free_bytes = lambda: 32 * 1024
    hook()
    print(why_refused(images))
    """
    told = says(tmp_path, CACHED, code)
    assert told.startswith("24 samples of ")
    assert told.endswith("16 KiB may be taken of the 32 KiB available")


def test_samples_that_are_larger_than_those_looked_at_are_not_all_kept(tmp_path: Path) -> None:
    code = """
    from advisor.agent.loader import sample_cache
    sample_cache.free_bytes = lambda: 160 * 1024
    class Growing(Images):
        def __getitem__(self, index):
            image, index = super().__getitem__(index)
            return image, index, torch.zeros(8 if index < 12 else 8000)
    hook()
    kept = []
    def look(number):
        cache = loaders.deliveries.switch.caches._cache
        kept.append((cache.kept_bytes, cache.limit_bytes) if cache else (0, 0))
    def collate(samples):
        return torch.utils.data.default_collate([sample[:2] for sample in samples])
    train({1: {}, 2: CACHED}, make_loader=lambda: DataLoader(Growing(), batch_size=4, collate_fn=collate), look=look)
    print(kept[-1][0] > 12 * 800, all(held <= room for held, room in kept))
    """
    assert says(tmp_path, CACHED, code) == "True True"


def test_a_small_cache_outlives_its_window_and_a_large_one_does_not(tmp_path: Path) -> None:
    code = """
    from advisor.agent.loader import sample_cache
    hook()
    for free in (2**20, 60 * 1024):
        sample_cache.free_bytes = lambda: free
        train({3: CACHED, 15: {}}, make_loader=images)
        print(loaders.deliveries.switch.caches._cache is not None)
        loaders.deliveries.switch.caches._cache = None
    """
    assert says(tmp_path, CACHED, code) == "True\nFalse"

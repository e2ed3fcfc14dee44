"""Kept samples that are drawn as whole batches: bit for bit those that torch's own collate function makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

from advisor.agent.loader.sample_parts import equal
from advisor.agent.loader.sample_table import OtherForm, SampleTable

from ..loader_kit import Loop

ROWS = 24
SAMPLES = {
    "tensors": lambda n: (torch.full((2, 3), float(n)), torch.tensor(n)),
    "numbers": lambda n: {"x": [n, n / 3], "odd": n % 2 == 1},
    "arrays": lambda n: (np.full(3, n, dtype=np.float16), np.int16(n), [np.float32(n / 7)]),
    "bf16": lambda n: torch.full((2,), n / 3, dtype=torch.bfloat16),
}


class Made(Dataset[Any]):
    """Samples by a function, and the number of times that each was read."""

    def __init__(self, make: Any) -> None:
        self.make = make
        self.read = [0] * ROWS

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        self.read[index] += 1
        return self.make(index)


def batches(loop: Loop, data: Any, epochs: int = 3, **settings: Any) -> list[Any]:
    """Those of some epochs; samples are kept from the second batch on."""
    settings = {"batch_size": 4, "shuffle": True, "generator": torch.Generator().manual_seed(1), **settings}
    loader = DataLoader(data, **settings)
    found = []
    for _ in range(epochs):
        for batch in loader:
            found.append(batch)
            loop.step()
            if len(found) == 2:
                loop.hooks.switch(cache_dataset=True)
    return found


def table_of(loop: Loop) -> SampleTable | None:
    cache = loop.hooks.deliveries.switch.caches._cache
    assert cache is not None
    return cache._table


def same(found: list[Any], wanted: list[Any]) -> bool:
    return [equal(one, other) for one, other in zip(found, wanted, strict=True)] == [None] * len(wanted)


def plain(data: Any, epochs: int = 3, **settings: Any) -> list[Any]:
    settings = {"batch_size": 4, "shuffle": True, "generator": torch.Generator().manual_seed(1), **settings}
    loader = DataLoader(data, **settings)
    return [batch for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize("make", SAMPLES.values(), ids=SAMPLES)
def test_every_bit_of_every_batch_stays(loop: Loop, make: Any) -> None:
    assert same(batches(loop, Made(make)), plain(Made(make)))
    assert len(table_of(loop) or ()) == ROWS


def test_later_epochs_read_nothing(loop: Loop) -> None:
    data = Made(SAMPLES["tensors"])
    before: list[int] = []
    loader = DataLoader(data, batch_size=4, shuffle=True)
    for epoch in range(5):
        for number, _batch in enumerate(loader):
            loop.step()
            if epoch == 0 and number == 1:
                loop.hooks.switch(cache_dataset=True)
        if epoch == 1:
            before = list(data.read)
    assert data.read == before


def test_a_sample_that_comes_twice_in_a_batch_is_kept_once(loop: Loop) -> None:
    def sampler() -> RandomSampler:
        return RandomSampler(range(ROWS), replacement=True, num_samples=40, generator=torch.Generator().manual_seed(3))

    data = Made(SAMPLES["tensors"])
    found = batches(loop, data, shuffle=False, sampler=sampler())
    assert same(found, plain(Made(SAMPLES["tensors"]), shuffle=False, sampler=sampler()))


def test_an_edited_batch_is_not_what_is_kept(loop: Loop) -> None:
    data = Made(SAMPLES["tensors"])
    loader = DataLoader(data, batch_size=4)
    for epoch in range(3):
        for number, (features, _label) in enumerate(loader):
            assert features[:, 0, 0].tolist() == [4.0 * number + k for k in range(4)]
            features.zero_()
            loop.step()
            if epoch == number == 0:
                loop.hooks.switch(cache_dataset=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (torch.full((2,), float(n)), n if n < 20 else float(n)),
        lambda n: {"x": torch.tensor(n), **({"y": n} if n < 0 else {})} if n < 20 else {"x": torch.tensor(float(n))},
    ],
    ids=["numbers of two kinds", "tensors of two types"],
)
def test_samples_of_another_form_end_the_table_and_nothing_else(loop: Loop, make: Any) -> None:
    found = batches(loop, Made(make), shuffle=False)
    assert same(found, plain(Made(make), shuffle=False))
    assert table_of(loop) is None


def test_texts_are_kept_without_a_table(loop: Loop) -> None:
    assert same(batches(loop, Made(lambda n: (f"row {n}", n))), plain(Made(lambda n: (f"row {n}", n))))
    assert table_of(loop) is None


def test_a_dataset_that_the_script_changes_is_read_again(loop: Loop) -> None:
    data = Made(lambda n: torch.tensor(float(n)))
    batches(loop, data, epochs=1)
    data.make = lambda n: torch.tensor(-float(n))
    assert sorted(float(x) for batch in DataLoader(data, batch_size=4) for x in batch) == [
        -float(n) for n in range(23, -1, -1)
    ]


def test_a_table_takes_no_more_rows_than_it_has_and_no_other_shape() -> None:
    table = SampleTable(torch.zeros(3), 2)
    table.add([5, 7], [torch.ones(3), torch.full((3,), 2.0)])
    assert torch.equal(table.batch([7, 5, 7]), default_collate([torch.full((3,), v) for v in (2.0, 1.0, 2.0)]))
    with pytest.raises(OtherForm, match="more samples"):
        table.add([9], [torch.ones(3)])
    with pytest.raises(OtherForm, match="another form"):
        SampleTable(torch.zeros(3), 9).add([1], [torch.zeros(4)])

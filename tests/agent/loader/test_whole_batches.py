"""Batches that a dataset gives at once: the same as those of its samples, or refused."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset, random_split

from advisor.agent.loader.sample_parts import equal
from advisor.refused import Refused

from ..loader_kit import Loop

ROWS = 48
WHOLE = {"whole_batches": True}
Pair = namedtuple("Pair", "x y")  # as old scripts have it


def table(rows: int = ROWS) -> TensorDataset:
    return TensorDataset(torch.arange(rows * 3.0).reshape(rows, 3), torch.arange(rows))


class Arrays(Dataset[Any]):
    """Rows of numpy arrays, labels of another precision, and a count of what is asked for."""

    def __init__(self) -> None:
        self.x = np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32)
        self.y = np.arange(ROWS) / 3
        self.asked: list[Any] = []

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: Any) -> Any:
        self.asked.append(index)
        return self.x[index], self.y[index]


class Named(Arrays):
    def __getitem__(self, index: Any) -> Any:
        return {"pair": Pair(torch.from_numpy(self.x)[index], torch.from_numpy(self.y)[index]), "n": self.x[index, 0]}


class Listed(Arrays):
    """Labels are numbers of Python, which torch's collate function keeps whole."""

    def __getitem__(self, index: Any) -> Any:
        return self.x[index], self.y[index].tolist()


class Single(Arrays):
    def __getitem__(self, index: Any) -> Any:
        return self.x[int(index)], float(self.y[index])


class Noisy(Arrays):
    def __getitem__(self, index: Any) -> Any:
        return self.x[index] + np.random.rand(), self.y[index]


class Standardized(Arrays):
    """The mean is that of a sample, or of a whole batch."""

    def __getitem__(self, index: Any) -> Any:
        return self.x[index] - self.x[index].mean(), self.y[index]


class Counting(Arrays):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __getitem__(self, index: Any) -> Any:
        self.reads += 1
        return self.x[index], self.y[index]


class Buffered(Arrays):
    """What an answer lies in is filled anew by the next one."""

    buffer = torch.zeros(8 * ROWS, 5)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, list):
            return torch.from_numpy(self.x)[index], self.y[index]
        out = self.buffer[: len(index)]
        return out.copy_(torch.from_numpy(self.x)[index]), self.y[index]


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(table())


def loader_of(data: Any, **settings: Any) -> DataLoader[Any]:
    return DataLoader(
        data, **{"batch_size": 4, "shuffle": True, "generator": torch.Generator().manual_seed(1), **settings}
    )


def epochs(loop: Loop, loader: Any, at: int | None = None, **settings: Any) -> list[Any]:
    """The batches of two epochs; after batch `at` the settings are switched."""
    batches = []
    for _ in range(2):
        for batch in loader:
            batches.append(batch)
            loop.step()
            if len(batches) == at:
                loop.hooks.switch(**settings)
    return batches


@pytest.mark.parametrize(
    "make",
    [
        table,
        lambda: Subset(table(), range(ROWS - 1, -1, -2)),
        lambda: random_split(table(), [40, 8], torch.Generator().manual_seed(2))[0],
        lambda: Subset(Subset(table(), range(40)), range(3, 37)),
        Arrays,
        Named,
        Listed,
    ],
    ids=["table", "subset", "split", "subset of a subset", "arrays", "named", "listed"],
)
def test_every_bit_of_every_batch_stays(loop: Loop, make: Any) -> None:
    plain = loader_of(make())
    wanted = [batch for _ in range(2) for batch in plain]
    found = epochs(loop, loader_of(make()), at=3, **WHOLE)
    assert len(found) == len(wanted) > 10
    assert [equal(one, other) for one, other in zip(found, wanted, strict=True)] == [None] * len(wanted)


def test_a_batch_is_asked_for_once(loop: Loop) -> None:
    data = Arrays()
    epochs(loop, loader_of(data), at=3, **WHOLE)
    last = data.asked[3 - 2 * ROWS // 4 :]  # the second epoch compares nothing again
    assert [type(index) for index in last] == [list] * len(last)
    assert [len(index) for index in last] == [4] * len(last)


def test_the_samples_of_an_update_are_counted(loop: Loop) -> None:
    epochs(loop, loader_of(table()), at=3, **WHOLE)
    assert {update.samples for update in loop.updates} == {4}


def test_the_scripts_workers_rest_meanwhile(loop: Loop) -> None:
    wanted = epochs(loop, loader_of(table(), num_workers=1))
    found = epochs(loop, loader_of(table(), num_workers=1), at=3, **WHOLE)
    assert [equal(one, other) for one, other in zip(found, wanted, strict=True)] == [None] * len(wanted)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Single(), "Single does not answer a list of indices: TypeError"),
        (ConcatDataset([table(), table()]), "ConcatDataset does not answer a list of indices: TypeError"),
        ([(torch.ones(3), n) for n in range(ROWS)], "list does not answer a list of indices: TypeError"),
        (Noisy(), "Noisy draws random numbers when read"),
        (Standardized(), "Standardized gives another batch for a list of indices: a Tensor differs"),
        (Counting(), "Counting.reads changes when samples are read"),
        (Buffered(), "Buffered gives the same memory for a batch each time"),
    ],
)
def test_what_gives_another_batch_is_refused_and_the_epoch_goes_on(loop: Loop, data: Any, reason: str) -> None:
    seen = 0
    for _batch in loader_of(data):
        loop.step()
        seen += 1
        if seen == 3:
            with pytest.raises(Refused, match=reason):
                loop.hooks.switch(**WHOLE)
    assert seen == len(data) // 4


@pytest.mark.parametrize(
    ("loader", "more", "reason"),
    [
        (lambda: loader_of(table(), collate_fn=lambda rows: rows), {}, "a collate function of the script's own"),
        (lambda: DataLoader(table(), batch_size=None), {}, "makes its own batches already"),
        (lambda: DataLoader(Stream(), batch_size=4), {}, "the dataset is iterable"),
        (lambda: loader_of(table()), {"num_workers": 2}, "num_workers=2 fetches in others"),
        (lambda: loader_of(table()), {"cache_dataset": True}, "a cache keeps single samples"),
    ],
)
def test_a_loader_that_cannot_have_it_is_refused_at_once(loop: Loop, loader: Any, more: Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        epochs(loop, loader(), at=3, **WHOLE, **more)


def test_an_epochs_last_batch_may_be_a_single_sample(loop: Loop) -> None:
    found = epochs(loop, loader_of(table(41), shuffle=False), at=10, **WHOLE)
    assert [int(number) for batch in found for number in batch[1]] == [*range(41), *range(41)]

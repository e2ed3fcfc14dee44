"""Whole batches where a dataset is read sample by sample, and files that are opened for every sample."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, TensorDataset, random_split

from ..loader_kit import Loop

ROWS = 512


def drained(loop: Loop, data: Any, **loading: Any) -> dict[str, Any]:
    iterator = iter(DataLoader(data, batch_size=64, shuffle=True, **loading))
    next(iterator)
    loop.step()
    return loop.hooks.drain(20.0, 6, num_workers=0)


def table() -> TensorDataset:
    return TensorDataset(torch.arange(ROWS * 4.0).reshape(ROWS, 4), torch.arange(ROWS))


class Arrays(Dataset[Any]):
    """Rows of numpy arrays, as a user writes it."""

    def __init__(self) -> None:
        self.x, self.y = np.random.default_rng(0).normal(size=(ROWS, 5)).astype(np.float32), np.arange(ROWS)
        self.last: object = None

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: Any) -> Any:
        self.last = index
        return {"x": torch.from_numpy(self.x)[index], "y": self.y[index]}


class Records(Arrays):
    """Knows single indices only."""

    def __getitem__(self, index: Any) -> Any:
        return torch.tensor([float(value) for value in self.x[int(index)]]), float(self.y[index])


class Noisy(Arrays):
    def __getitem__(self, index: Any) -> Any:
        return torch.from_numpy(self.x)[index] + torch.rand(1), self.y[index]


@pytest.mark.parametrize(
    "data",
    [table(), Subset(table(), range(ROWS - 1, -1, -1)), random_split(table(), [400, 112])[0], Arrays()],
    ids=["table", "subset", "split", "arrays"],
)
def test_a_dataset_that_answers_a_list_of_indices_is_read_whole(loop: Loop, data: Any) -> None:
    report = drained(loop, data)
    assert report["rows_read"] == "whole"
    assert 0 < report["whole_s"] < (report["fetch_s"] + report["collate_s"]) / report["batches"]
    assert report["sample_bytes"] > 20


@pytest.mark.parametrize(
    "data",
    [Records(), ConcatDataset([table(), table()]), [(torch.ones(3), n) for n in range(ROWS)]],
    ids=["records", "joined", "list"],
)
def test_any_other_dataset_is_compared_with_a_table(loop: Loop, data: Any) -> None:
    assert drained(loop, data)["rows_read"] == "table"


def test_another_batch_for_the_same_indices_is_no_whole_batch(loop: Loop) -> None:
    assert drained(loop, Noisy())["rows_read"] == "table"


def test_with_a_collate_function_of_the_scripts_own_nothing_is_known(loop: Loop) -> None:
    assert "rows_read" not in drained(loop, Records(), collate_fn=lambda rows: torch.stack([row[0] for row in rows]))


def test_the_dataset_keeps_what_it_noted_itself(loop: Loop) -> None:
    data = Arrays()
    drained(loop, data)
    assert isinstance(data.last, int)


def test_whole_batches_are_timed_on_one_thread(loop: Loop) -> None:
    class Asked(Arrays):
        threads: ClassVar[list[int]] = []

        def __getitem__(self, index: Any) -> Any:
            if isinstance(index, list):
                self.threads.append(torch.get_num_threads())
            return super().__getitem__(index)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        drained(loop, Asked())
        assert (Asked.threads[0], set(Asked.threads[1:]), torch.get_num_threads()) == (2, {1}, 2)
    finally:
        torch.set_num_threads(before)


def archive(folder: Path) -> Path:
    path = folder / "beats.npz"
    np.savez_compressed(path, x=np.ones((ROWS, 3), dtype=np.float32))
    return path


class Archived(Arrays):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.archive = np.load(path)

    def __getitem__(self, index: Any) -> Any:
        return self.archive["x"][index]


class Opening(Arrays):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __getitem__(self, index: Any) -> Any:
        return np.load(self.path)["x"][index]


class Asking(Arrays):
    """A connection for each row."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        with sqlite3.connect(path) as rows:
            rows.execute("create table t (x real)")
            rows.executemany("insert into t values (?)", [(float(n),) for n in range(ROWS)])

    def __getitem__(self, index: Any) -> Any:
        connection = sqlite3.connect(self.path)
        row = connection.execute("select x from t where rowid = ?", (index + 1,)).fetchone()
        connection.close()
        return torch.tensor(row)


class Files(Arrays):
    """A file a sample, as it should be."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for number in range(ROWS):
            np.save(folder / f"{number}.npy", np.ones(3))
        self.folder = folder

    def __getitem__(self, index: Any) -> Any:
        return np.load(self.folder / f"{index}.npy")


def test_a_member_read_for_every_sample_is_named(loop: Loop, tmp_path: Path) -> None:
    report = drained(loop, Archived(archive(tmp_path)))
    assert (report["opened"], report["opened_per_sample"]) == ("beats.npz['x']", 1.0)


@pytest.mark.parametrize("make", [lambda folder: Opening(archive(folder)), lambda folder: Asking(folder / "t.db")])
def test_a_file_opened_for_every_sample_is_named(loop: Loop, tmp_path: Path, make: Any) -> None:
    report = drained(loop, make(tmp_path))
    assert report["opened_per_sample"] == 1.0
    assert report["opened"].split("[")[0] in ("beats.npz", "t.db")


def test_a_file_for_each_sample_is_not_opened_again(loop: Loop, tmp_path: Path) -> None:
    report = drained(loop, Files(tmp_path))
    assert report["samples"] > 100
    assert "opened" not in report


def test_a_file_opened_now_and_then_is_not_opened_for_every_sample(loop: Loop, tmp_path: Path) -> None:
    class Seldom(Opening):
        def __getitem__(self, index: Any) -> Any:
            return super().__getitem__(index) if index % 10 == 0 else np.ones(3, dtype=np.float32)

    report = drained(loop, Seldom(archive(tmp_path)))
    assert report["samples"] > 100
    assert "opened" not in report


def test_open_is_pythons_own_afterwards(loop: Loop, tmp_path: Path) -> None:
    before = (open, sqlite3.connect, np.lib.npyio.NpzFile.__getitem__)
    drained(loop, Archived(archive(tmp_path)))
    assert (open, sqlite3.connect, np.lib.npyio.NpzFile.__getitem__) == before

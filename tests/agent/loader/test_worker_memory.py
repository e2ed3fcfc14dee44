"""Memory of their own that forked workers get by reading Python objects."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset

from advisor.agent.loader.worker_memory import private_bytes

from ..loader_kit import Loop

RECORDS = 200_000


class Objects(Dataset[Any]):
    def __init__(self) -> None:
        self.records = [{"user": number, "name": str(number)} for number in range(RECORDS)]

    def __len__(self) -> int:
        return RECORDS

    def __getitem__(self, index: int) -> Any:
        return torch.tensor(self.records[index]["user"])


class Array(Objects):
    def __init__(self) -> None:
        self.users = torch.arange(RECORDS)

    def __getitem__(self, index: int) -> Any:
        return self.users[index]


def reported(loop: Loop, data: Any, workers: int = 1) -> dict[str, Any] | None:
    iterator = iter(DataLoader(data, batch_size=500, shuffle=True, num_workers=workers))
    for _batch in range(3):
        next(iterator)
        loop.step()
    loop.hooks.read_worker_memory()
    for _batch in range(100):
        next(iterator)
        loop.step()
    loop.hooks.read_worker_memory()
    return loop.hooks.worker_memory()


def test_this_process_has_memory_of_its_own() -> None:
    assert (private_bytes(os.getpid()) or 0) > 2**20
    assert private_bytes(None) is None


@pytest.mark.parametrize("data", [Objects(), Subset(Objects(), range(RECORDS))], ids=["plain", "subset"])
def test_records_are_copied_as_they_are_read(loop: Loop, data: Any) -> None:
    found = reported(loop, data)
    assert found is not None
    assert (found["path"], found["records"]) == ("Objects.records", RECORDS)
    # A quarter of the records was read: how much of their memory that is depends on Python's version.
    assert found["last_bytes"] - found["first_bytes"] > 0.1 * found["records_bytes"]
    assert found["records_bytes"] > 100 * RECORDS


def test_an_array_is_shared(loop: Loop) -> None:
    assert reported(loop, Array()) is None


def test_without_workers_there_is_nothing_to_read(loop: Loop) -> None:
    assert reported(loop, Objects(), workers=0) is None

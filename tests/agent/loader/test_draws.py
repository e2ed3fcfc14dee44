"""Whether a loader's samples, and collating them, draw random numbers: seen in the first fetches, wherever they run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate

from advisor.agent.loader import times

from ..loader_kit import Loop, Numbers

beside = np.random.default_rng(0)
"""As many scripts keep one: at the top of the file."""
HELD: dict[str, Callable[[], Any]] = {
    "torch": torch.Generator,
    "numpy": lambda: np.random.default_rng(0),
    "python": lambda: random.Random(0),
}
DRAWS: dict[str, Callable[[Any], Any]] = {
    "torch": lambda _: torch.rand(()),
    "python": lambda _: random.random(),
    "numpy": lambda _: np.random.rand(),
    "beside": lambda _: beside.random(),
    "held torch": lambda held: torch.rand((), generator=held["torch"]),
    "held numpy": lambda held: held["numpy"].random(),
    "held python": lambda held: held["python"].random(),
}


class Drawing(Numbers):
    def __init__(self, kind: str | None) -> None:
        super().__init__(40)
        self.kind = kind
        self.transform = {"generators": {name: make() for name, make in HELD.items()}}

    def __getitem__(self, index: int) -> Any:
        if self.kind is not None:
            DRAWS[self.kind](self.transform["generators"])
        return super().__getitem__(index)


class DrawingStream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        for number in range(20):
            yield torch.rand(3), number


def mixed(batch: list[Any]) -> Any:
    torch.rand(())
    return default_collate(batch)


def told(loop: Loop, loader: Any) -> dict[str, object]:
    loop.epoch(loader)
    return loop.hooks.workload_facts()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("kind", DRAWS)
def test_a_dataset_that_draws_is_told(loop: Loop, kind: str, workers: int) -> None:
    found = told(loop, DataLoader(Drawing(kind), batch_size=4, num_workers=workers))
    assert (found["dataset_draws"], found["collate_draws"]) == (True, False)


@pytest.mark.parametrize("workers", [0, 1])
def test_one_that_draws_nothing_is_told_too(loop: Loop, workers: int) -> None:
    found = told(loop, DataLoader(Drawing(None), batch_size=4, shuffle=True, num_workers=workers))
    assert (found["dataset_draws"], found["collate_draws"]) == (False, False)


def test_what_collating_draws_is_not_the_datasets(loop: Loop) -> None:
    found = told(loop, DataLoader(Drawing(None), batch_size=4, collate_fn=mixed))
    assert (found["dataset_draws"], found["collate_draws"]) == (False, True)


def test_an_iterable_dataset_is_looked_at_too(loop: Loop) -> None:
    assert told(loop, DataLoader(DrawingStream(), batch_size=4))["dataset_draws"] is True


@pytest.mark.slow
def test_workers_that_cannot_be_looked_into_leave_it_open(loop: Loop) -> None:
    loader = DataLoader(Numbers(8), batch_size=4, num_workers=1, multiprocessing_context="spawn")
    assert "dataset_draws" not in told(loop, loader)


def test_only_the_first_fetches_are_looked_at(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    states = times.RandomStates
    monkeypatch.setattr(times, "RandomStates", lambda *owners: looks.append(1) or states(*owners))
    loader = DataLoader(Numbers(40), batch_size=4)
    for _ in range(3):
        loop.epoch(loader)
    assert len(looks) == times.WATCHED_FETCHES


def test_looking_leaves_the_random_states_alone(loop: Loop) -> None:
    def run() -> Any:
        torch.manual_seed(0)
        return [torch.cat([batch[0] for batch in DataLoader(DrawingStream(), batch_size=4)]), torch.rand(3)]

    seen = run()
    loop.hooks.close()
    assert all(map(torch.equal, seen, run()))


def test_epochs_that_began_are_counted(loop: Loop) -> None:
    loader = DataLoader(Numbers(8), batch_size=4)
    loop.epoch(loader)
    assert told(loop, loader)["loader_starts"] == 2

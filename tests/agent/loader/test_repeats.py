"""Workers that draw the same numbers as each other, or in every epoch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, get_worker_info

from ..loader_kit import Loop, Numbers


class Held(Numbers):
    def __init__(self, kind: str) -> None:
        super().__init__(40)
        self.rng: Any = {
            "numpy": lambda: np.random.default_rng(0),
            "old numpy": lambda: np.random.RandomState(0),
            "python": lambda: random.Random(0),
            "torch": lambda: torch.Generator().manual_seed(0),
        }[kind]()

    def __getitem__(self, index: int) -> Any:
        drawn = torch.rand(1, generator=self.rng) if isinstance(self.rng, torch.Generator) else self.rng.random()
        return torch.full((3,), float(drawn)), index


class Global(Numbers):
    """Draws from generators that torch seeds."""

    def __getitem__(self, index: int) -> Any:
        return torch.full((3,), np.random.rand() + random.random()) + torch.rand(1), index


class SeededByIndex(Held):
    def __getitem__(self, index: int) -> Any:
        self.rng.seed(index)
        return super().__getitem__(index)


def by_number(worker: int) -> None:
    data: Any = get_worker_info().dataset
    data.rng = np.random.default_rng(worker)


def by_seed(_worker: int) -> None:
    info: Any = get_worker_info()
    info.dataset.rng = np.random.default_rng(info.seed)


def repeats(loop: Loop, data: Any, epochs: int = 2, **loading: Any) -> dict[str, object]:
    torch.manual_seed(1)
    loader = DataLoader(data, batch_size=4, **{"num_workers": 2, "shuffle": True, **loading})
    for _epoch in range(epochs):
        loop.epoch(loader)
    found = loop.hooks.workload_facts()
    return {name: found[name] for name in ("workers_repeat", "epochs_repeat") if name in found}


@pytest.mark.parametrize("kind", ["numpy", "old numpy", "python", "torch"])
def test_copies_of_one_generator_draw_alike_everywhere(loop: Loop, kind: str) -> None:
    assert repeats(loop, Held(kind), epochs=3) == {"workers_repeat": True, "epochs_repeat": True}


def test_seeds_by_the_workers_number_are_the_same_in_every_epoch(loop: Loop) -> None:
    found = repeats(loop, Held("numpy"), worker_init_fn=by_number)
    assert found == {"workers_repeat": False, "epochs_repeat": True}


def test_seeds_of_torchs_worker_seed_repeat_nothing(loop: Loop) -> None:
    found = repeats(loop, Held("numpy"), worker_init_fn=by_seed)
    assert found == {"workers_repeat": False, "epochs_repeat": False}


def test_workers_that_stay_go_on_drawing(loop: Loop) -> None:
    found = repeats(loop, Held("numpy"), worker_init_fn=by_number, persistent_workers=True)
    assert found == {"workers_repeat": False}


@pytest.mark.parametrize("data", [Global(), SeededByIndex("python")], ids=["global", "by index"])
def test_draws_that_differ_are_no_repeats(loop: Loop, data: Any) -> None:
    assert not any(repeats(loop, data).values())


def test_the_same_samples_in_the_same_order_are_no_repeats(loop: Loop) -> None:
    """A dataset that seeds by the index gives the same sample for the same index, as it should."""
    assert not any(repeats(loop, SeededByIndex("python"), shuffle=False).values())


def test_without_workers_nothing_is_said(loop: Loop) -> None:
    assert repeats(loop, Held("numpy"), num_workers=0) == {}

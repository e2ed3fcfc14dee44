"""Datasets and loops that the loader tests share."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import PHASE_NAMES, StepClock, Update


class Numbers(Dataset[Any]):
    """Sample i is the number i; draws nothing at random."""

    def __init__(self, length: int = 40, delay_s: float = 0.0) -> None:
        self.length = length
        self.delay_s = delay_s

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if self.delay_s:
            time.sleep(self.delay_s)
        return torch.full((3,), float(index)), index


class Pieces(Numbers):
    """Samples of several rows each: the leading dimension lies about their number."""

    def __getitem__(self, index: int) -> Any:
        return torch.full((5, 2), float(index))


class Stream(IterableDataset[Any]):
    """Numbers in a row; every worker delivers all of them unless it shards."""

    def __init__(self, length: int = 40, shards: bool = False) -> None:
        self.length = length
        self.shards = shards

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info is not None and self.shards else (0, 1)
        for index in range(first, self.length, step):
            yield torch.full((3,), float(index)), index


class Breaks(Numbers):
    def __getitem__(self, index: int) -> Any:
        if index == 9:
            raise KeyError("sample nine is broken")
        return super().__getitem__(index)


class Loop:
    """A training loop as the rest of the agent would see it: a forward and the end of an update for every batch."""

    def __init__(self, hooks: LoaderHooks, clock: StepClock) -> None:
        self.hooks = hooks
        self.clock = clock
        self.updates: list[Update] = []
        clock.on_update = self.updates.append

    def step(self) -> None:
        self.hooks.saw_training_forward()
        self.clock.end_update()

    def epoch(self, loader: Any) -> list[list[int]]:
        """The numbers of every batch of an epoch."""
        batches = []
        for batch in loader:
            self.step()
            batches.append(numbers(batch))
        return batches

    def phases_ns(self, update: int = -1) -> dict[str, int]:
        return dict(zip(PHASE_NAMES, self.updates[update].phases_ns, strict=True))


def numbers(batch: Any) -> list[int]:
    return [int(number) for number in batch[1]]


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def random_states() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate()]


def living_workers() -> int:
    """Child processes that are still there, a moment given to those that are just ending."""
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(multiprocessing.active_children())


def shuffled(length: int = 40, batch_size: int = 4, **settings: Any) -> DataLoader[Any]:
    return DataLoader(Numbers(length), batch_size=batch_size, shuffle=True, **settings)

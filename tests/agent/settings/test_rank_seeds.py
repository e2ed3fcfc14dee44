"""What several processes draw alike, and what each draws of its own: ranks here are turns in one process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from advisor.agent.settings.rank_seeds import EpochDraws

RANKS = 2


@pytest.fixture(autouse=True)
def _own_generators() -> Iterator[None]:
    python, of_torch = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(python)
    torch.set_rng_state(of_torch)


def order() -> list[float]:
    return [*torch.randperm(100).tolist(), random.random()]


class Ranks:
    """The same epochs on each rank in turn; what the first one passes is handed on to the other."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def epochs(self, rank: int, in_between: Callable[[], object]) -> tuple[list[list[float]], list[float]]:
        """Return what was drawn alike, and a draw of the rank's own after each epoch."""
        torch.manual_seed(rank)
        random.seed(rank)
        received = iter(self.sent)

        def of_first(said: Any) -> Any:
            if rank:
                assert said is None
                return next(received)
            self.sent.append(said)
            return said

        draws = EpochDraws(rank, of_first)
        alike, own = [], []
        for _epoch in range(3):
            with draws.drawing(begins=True):
                alike.append(order())
            in_between()
            with draws.drawing(begins=False):
                alike.append(order())
            own.append(torch.rand(()).item())
        return alike, own


@pytest.mark.parametrize("in_between", [int, random.random, lambda: torch.rand(3)], ids=["nothing", "python", "torch"])
def test_an_epoch_is_drawn_alike_whatever_is_drawn_between(in_between: Callable[[], object]) -> None:
    ranks = Ranks()
    (first, own), (second, others) = [ranks.epochs(rank, in_between) for rank in range(RANKS)]
    assert first == second
    assert len({tuple(one) for one in first}) == len(first)
    assert not set(own) & set(others)


def test_the_first_rank_draws_what_a_process_alone_draws() -> None:
    found, own = Ranks().epochs(0, int)
    torch.manual_seed(0)
    random.seed(0)
    alone = []
    for number in range(3):
        alone += [order(), order()]
        assert torch.rand(()).item() == own[number]
    assert found == alone


def test_an_epoch_costs_one_message() -> None:
    ranks = Ranks()
    ranks.epochs(0, int)
    assert len(ranks.sent) == 3


def test_workers_draw_as_their_iterator_begins() -> None:
    asked: list[Any] = []

    def of_first(said: Any) -> Any:
        asked.append(said)
        return said

    draws = EpochDraws(0, of_first)
    with draws.drawing(begins=True), draws.drawing(begins=False):
        order()
    assert len(asked) == 1


def test_a_first_element_without_a_beginning_asks_the_first_rank() -> None:
    ranks = Ranks()
    drawn = []
    for rank in range(RANKS):
        torch.manual_seed(rank)
        draws = EpochDraws(rank, lambda said: ranks.sent.append(said) or said if said is not None else ranks.sent[0])
        with draws.drawing(begins=False):
            drawn.append(order()[:-1])
    assert drawn[0] == drawn[1]

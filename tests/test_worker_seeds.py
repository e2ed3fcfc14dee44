"""Generators of a dataset: where they are found, how they begin anew, and that no code of the user runs for it."""

from __future__ import annotations

import functools
import pickle
import random
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from advisor.worker_seeds import MOST_OBJECTS, WorkerSeeds, generators, is_generator, number_of, reseed, walk

MADE: dict[str, Callable[[], Any]] = {
    "Generator": lambda: np.random.default_rng(0),
    "Philox": lambda: np.random.Generator(np.random.Philox(0)),
    "RandomState": lambda: np.random.RandomState(0),
    "RandomState of PCG64": lambda: np.random.RandomState(np.random.PCG64(0)),
    "Random": lambda: random.Random(0),
    "torch": lambda: torch.Generator().manual_seed(0),
}
rng = np.random.default_rng(0)


class Holder:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Slots:
    __slots__ = ("empty", "rng")

    def __init__(self) -> None:
        self.rng = rng


class Listed(list[Any]):
    """With an attribute beside its items."""


def closure() -> Any:
    held = rng

    def inner() -> Any:
        return held.random()

    return inner


def names_it() -> Any:
    return rng.random()


def names_one_that_names_it() -> Any:
    return [names_it() for _ in range(2)]


class Reads(Dataset[Any]):
    def __getitem__(self, index: int) -> Any:
        return names_one_that_names_it()

    def __len__(self) -> int:
        return 1


class BuiltBy(Dataset[Any]):
    """Names it only where it is made."""

    def __init__(self) -> None:
        self.order = rng.permutation(3)

    def __len__(self) -> int:
        return 1


class OfClass:
    shared = rng


def with_attribute() -> Any:
    made = Listed()
    made.rng = rng  # type: ignore[attr-defined]
    return made


def wrapped(dataset: Any) -> Any:
    whole: Any = ConcatDataset([TensorDataset(torch.zeros(1)), dataset])
    return Subset(Subset(whole, [1]), [0])


PLACES: dict[str, Callable[[], Any]] = {
    "an attribute": lambda: Holder(a=rng),
    "a list": lambda: Holder(a=[1, (rng,)]),
    "a dictionary": lambda: Holder(a={"b": {2: rng}}),
    "a set": lambda: Holder(a={rng}),
    "a deque": lambda: Holder(a=deque([rng])),
    "slots": lambda: Holder(a=Slots()),
    "an object that is a list": with_attribute,
    "a closure": lambda: Holder(a=closure()),
    "a default": lambda: Holder(a=lambda x, g=rng: g),
    "a partial": lambda: Holder(a=functools.partial(max, key=rng)),
    "a bound method": lambda: Holder(a=rng.random),
    "a method of another": lambda: Holder(a=Holder(rng=rng).__init__),  # type: ignore[misc]
    "a class": OfClass,
    "a module": Reads,
    "a dataset in others": lambda: wrapped(Reads()),
    "a long list": lambda: Holder(a=[Holder(b=max) for _ in range(500)] + [rng]),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_generator_is_found_in(place: str) -> None:
    assert [found is rng for _, found in generators(PLACES[place]())] == [True]


def test_the_path_says_where() -> None:
    whole = Holder(steps=[Holder(noise={"a": rng})])
    assert [path for path, _ in generators(whole)] == ["Holder.steps[0].noise['a']"]
    assert [path for path, _ in generators(Reads())] == [f"{__name__}.rng"]


def test_what_drew_only_when_the_dataset_was_made_is_not_meant() -> None:
    assert generators(BuiltBy()) == []


@pytest.mark.parametrize(
    "value",
    [random.SystemRandom(), torch.default_generator, np.random.mtrand._rand, random.random.__self__],  # type: ignore[attr-defined]
    ids=["of the system", "torch", "numpy", "python"],
)
def test_global_generators_are_not_meant(value: Any) -> None:
    assert not is_generator(value)


class Alive:
    """Tells when it is asked anything."""

    asked: list[str] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.rng = rng

    @property
    def tempting(self) -> Any:
        self.asked.append("property")
        return None

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        raise AttributeError(name)

    def __iter__(self) -> Iterator[Any]:
        self.asked.append("iter")
        return iter(())

    def __len__(self) -> int:
        self.asked.append("len")
        return 0

    def __eq__(self, other: object) -> bool:
        self.asked.append("eq")
        return False

    def __hash__(self) -> int:
        self.asked.append("hash")
        return 0


def test_no_code_of_the_user_runs() -> None:
    assert len(generators(Alive())) == 1
    assert Alive.asked == []


def test_long_lists_of_data_are_not_looked_through() -> None:
    files = [(f"{number}.png", Holder(box=[0, 1])) for number in range(20_000)]
    assert len(list(walk(Holder(files=files, rng=rng)))) < 20


@pytest.mark.slow
def test_a_tree_of_objects_is_not_walked_through_to_its_end() -> None:
    tree = [[Holder(a=[max]) for _ in range(1000)] for _ in range(100)]
    assert len(list(walk(tree))) <= MOST_OBJECTS


# --- beginning anew -------------------------------------------------------------------------------------------------


def draws(generator: Any) -> list[float]:
    if isinstance(generator, torch.Generator):
        return torch.randn(3, generator=generator).tolist()  # type: ignore[no-any-return]
    name = next(name for name in ("standard_normal", "gauss") if hasattr(generator, name))
    return [getattr(generator, name)(*([0, 1] if name == "gauss" else [])) for _ in range(3)]


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_seed_says_what_is_drawn_and_another_says_otherwise(make: Callable[[], Any]) -> None:
    used, unused, other = make(), make(), make()
    draws(used)  # an odd number of normal draws: half of a pair is left
    for generator, number in ((used, 1), (unused, 1), (other, 2)):
        reseed(generator, number)
    first, second, third = draws(used), draws(unused), draws(other)
    assert first == second
    assert not set(first) & set(third)


def test_whoever_else_holds_it_draws_from_the_same_one() -> None:
    generator = np.random.default_rng(0)
    drawn = generator.random
    reseed(generator, 1)
    generator.random()
    expected = np.random.default_rng(0)
    reseed(expected, 1)
    expected.random()
    assert drawn() == expected.random()


def test_no_two_workers_epochs_or_places_have_one_seed() -> None:
    seeds = {number_of(seed, start, place) for seed in range(20) for start in range(20) for place in range(20)}
    assert len(seeds) == 8000


def test_it_is_unpickled_where_advisor_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "seeds.bin").write_bytes(pickle.dumps(WorkerSeeds(start=3)))
    code = (
        "import pickle, sys\n"
        "sys.modules['advisor'] = None\n"
        "seeds = pickle.load(open('seeds.bin', 'rb'))\n"
        "print(type(seeds).__name__, seeds.start, seeds.then)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "WorkerSeeds 3 None\n"

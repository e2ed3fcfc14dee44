"""Generators that a dataset holds, with workers that the script does not have: no draw comes twice."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
    get_worker_info,
)

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.refused import Refused

from ..loader_kit import Loop, Numbers

beside = np.random.default_rng(0)
"""At the top of the file, as many scripts keep one."""
drawn_by_name: dict[str, Any] = {"python": random.Random(0)}
BITS = 2**52


def draw(generator: Any) -> int:
    """A number that no two draws have in common by chance."""
    if isinstance(generator, torch.Generator):
        return int(torch.randint(BITS, (), generator=generator))
    if hasattr(generator, "random_raw"):
        return int(generator.random_raw()) % BITS
    return int((generator.random_sample() if hasattr(generator, "random_sample") else generator.random()) * BITS)


MADE: dict[str, Callable[[], Any]] = {
    "Generator": lambda: np.random.default_rng(0),
    "RandomState": lambda: np.random.RandomState(0),
    "BitGenerator": lambda: np.random.PCG64(0),
    "Random": lambda: random.Random(0),
    "torch": lambda: torch.Generator().manual_seed(0),
}


class Slotted:
    __slots__ = ("rng",)

    def __init__(self, rng: Any) -> None:
        self.rng = rng


class Transform:
    def __init__(self) -> None:
        self.steps = [{"noise": np.random.default_rng(0)}]

    def __call__(self) -> int:
        return draw(self.steps[0]["noise"])


def drawn_beside() -> int:
    return draw(beside)


class Drawing(Dataset[Any]):
    """Sample i holds its number, its worker, and a draw by each generator."""

    shared = np.random.default_rng(0)

    def __init__(self, length: int = 16, without: str = "") -> None:
        self.length = length
        self.held = {name: make() for name, make in MADE.items() if name != without}
        self.slotted = Slotted(np.random.default_rng(0))
        self.transform = Transform()
        self.partial = functools.partial(draw, np.random.default_rng(0))
        self.bound = np.random.default_rng(0).random

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, int]:
        info = get_worker_info()
        return {
            "index": index,
            "worker": -1 if info is None else info.id,
            **{name: draw(generator) for name, generator in self.held.items()},
            "in slots": draw(self.slotted.rng),
            "in a transform": self.transform(),
            "in a partial": self.partial(),
            "bound": int(self.bound() * BITS),
            "of the class": draw(self.shared),
            "of the module": drawn_beside(),
            "in a dictionary of the module": draw(drawn_by_name["python"]),
            "global numpy": np.random.randint(BITS),
            "global python": random.randrange(BITS),
            "global torch": int(torch.randint(BITS, ())),
        }


PLACES = [name for name in Drawing()[0] if name not in ("index", "worker")]


def spawned() -> Any:
    """Torch's own generator cannot be pickled into a process."""
    return Drawing(8, without="torch")


def nested() -> Any:
    whole: Any = ConcatDataset([Drawing(), Drawing()])
    return Subset(whole, range(16, 32))


@pytest.fixture
def loop() -> Iterator[Loop]:
    with hooked() as found:
        yield found


class hooked:  # noqa: N801
    def __enter__(self) -> Loop:
        clock = StepClock()
        self.hooks = LoaderHooks(clock)
        self.hooks.install()
        return Loop(self.hooks, clock)

    def __exit__(self, *_: object) -> None:
        self.hooks.close()


def rows(loop: Loop, loader: Any, settings: dict[str, Any], epochs: int = 3) -> list[list[dict[str, int]]]:
    """Samples by epoch; the settings hold from the third batch on."""
    found, done = [], 0
    for _ in range(epochs):
        samples: list[dict[str, int]] = []
        for batch in loader:
            columns = {name: values.tolist() for name, values in batch.items()}
            samples += [{name: column[row] for name, column in columns.items()} for row in range(len(columns["index"]))]
            done += 1
            loop.step()
            if done == 2:
                loop.hooks.switch(**settings)
        found.append(samples)
    return found


@functools.cache
def seen(dataset: Callable[[], Any], method: str, persistent: bool) -> list[list[dict[str, int]]]:
    """Run once for all that is asked of it."""
    with hooked() as loop:
        loader = DataLoader(dataset(), batch_size=2)
        loader._DataLoader__multiprocessing_context = torch.multiprocessing.get_context(method)  # type: ignore[attr-defined]
        return rows(
            loop, loader, {"num_workers": 2, "persistent_workers": persistent}, epochs=2 if method == "spawn" else 3
        )


def of_workers(epochs: list[list[dict[str, int]]]) -> list[dict[str, int]]:
    return [sample for epoch in epochs for sample in epoch if sample["worker"] >= 0]


RUNS = [(Drawing, "fork", False), (Drawing, "fork", True), (nested, "fork", False), (spawned, "spawn", False)]
NAMES = ["anew", "staying", "nested", "spawned"]
CASES = [
    pytest.param(run, place, id=f"{name}-{place}", marks=[pytest.mark.slow] if name == "spawned" else [])
    for run, name in zip(RUNS, NAMES, strict=True)
    for place in PLACES
    if (name, place) != ("spawned", "torch")
]


@pytest.mark.slow
@pytest.mark.parametrize(("run", "place"), CASES)
def test_no_draw_comes_twice(run: Any, place: str) -> None:
    samples = of_workers(seen(*run))
    assert {sample["worker"] for sample in samples} == {0, 1}
    draws = [sample[place] for sample in samples]
    assert len(set(draws)) == len(draws)


# --- what stays as it is --------------------------------------------------------------------------------------------


class One(Numbers):
    """Sample i is a draw and its worker."""

    def __init__(self, generator: Any, length: int = 16) -> None:
        super().__init__(length)
        self.rng = generator

    def __getitem__(self, index: int) -> Any:
        info = get_worker_info()
        return torch.zeros(1), draw(self.rng), -1 if info is None else info.id


def draws_by_worker(loop: Loop, loader: Any, settings: dict[str, Any], epochs: int = 1) -> dict[int, list[int]]:
    """From the second batch on."""
    found: dict[int, list[int]] = {}
    for epoch in range(epochs):
        for number, (_, draws, workers) in enumerate(loader):
            loop.step()
            if not epoch and not number:
                loop.hooks.switch(**settings)
                continue
            for value, worker in zip(draws.tolist(), workers.tolist(), strict=True):
                found.setdefault(worker, []).append(value)
    return found


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_the_scripts_own_generator_is_left_alone(loop: Loop, make: Callable[[], Any]) -> None:
    generator, other = make(), make()
    draws_by_worker(loop, DataLoader(One(generator), batch_size=2), {"num_workers": 2}, epochs=2)
    for _ in range(2):  # the batch that the script has read itself
        draw(other)
    assert draw(generator) == draw(other)


def inner(loop: Loop, loader: Any, **settings: Any) -> Any:
    """The iterator that fetches in place of the script's."""
    iterator = iter(loader)
    next(iterator)
    loop.step()
    loop.hooks.switch(**settings)
    return loop.hooks.current()[0].inner  # type: ignore[union-attr]


def test_where_nothing_is_held_the_workers_are_started_as_ever(loop: Loop) -> None:
    assert (
        inner(loop, DataLoader(Numbers(), batch_size=4, worker_init_fn=own_seed), num_workers=1)._worker_init_fn
        is own_seed
    )


def test_what_the_script_draws_by_workers_of_its_own_stays_as_it_is(loop: Loop) -> None:
    loader = DataLoader(One(np.random.default_rng(0)), batch_size=2, num_workers=2)
    draws = draws_by_worker(loop, loader, {"num_workers": 3})
    assert draws[0][:4] == draws[1][:4] == draws[2][:4]


@pytest.mark.parametrize(
    ("written", "settings"),
    [
        ({"num_workers": 1}, {"num_workers": 2}),
        ({"num_workers": 2, "persistent_workers": True}, {"persistent_workers": False}),
    ],
)
def test_draws_that_only_our_workers_would_repeat_are_not_repeated(
    loop: Loop, written: dict[str, Any], settings: dict[str, Any]
) -> None:
    loader = DataLoader(One(np.random.default_rng(0)), batch_size=2, **written)
    draws = draws_by_worker(loop, loader, settings, epochs=3)
    assert sorted(draws) == [0, 1]
    every = draws[0] + draws[1]
    assert len(set(every)) == len(every)


def own_seed(_worker: int) -> None:
    get_worker_info().dataset.rng = np.random.default_rng(5)  # type: ignore[union-attr]


def test_a_worker_init_fn_of_the_script_has_the_last_word(loop: Loop) -> None:
    loader = DataLoader(One(np.random.default_rng(0)), batch_size=2, worker_init_fn=own_seed)
    draws = draws_by_worker(loop, loader, {"num_workers": 2})
    rng = np.random.default_rng(5)
    assert draws[0][:4] == draws[1][:4] == [draw(rng) for _ in range(4)]


class Collate:
    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, samples: list[Any]) -> Any:
        return [*default_collate(samples), draw(self.rng)]


def test_what_collating_draws_is_not_repeated(loop: Loop) -> None:
    loader = DataLoader(Numbers(16), batch_size=2, collate_fn=Collate())
    found = []
    for _ in range(2):
        for number, batch in enumerate(loader):
            loop.step()
            if not number:
                loop.hooks.switch(num_workers=2)
            found.append(batch[-1])
    assert len(set(found)) == len(found) == 16


# --- what closes the knob -------------------------------------------------------------------------------------------


class ByHand(Numbers):
    """Draws from a number that it keeps itself."""

    def __init__(self) -> None:
        super().__init__()
        self.state = 1

    def __getitem__(self, index: int) -> Any:
        self.state = self.state * 6364136223846793005 % 2**61
        return torch.tensor(self.state), index


class InTransform(Numbers):
    def __init__(self) -> None:
        super().__init__()
        self.transform = ByHand()

    def __getitem__(self, index: int) -> Any:
        return self.transform[index]


def endless() -> Iterator[float]:
    rng = np.random.default_rng(0)
    while True:
        yield rng.random()


class Suspended(Numbers):
    """Draws from a generator that lies in a function's frame."""

    def __init__(self) -> None:
        super().__init__()
        self.draws = endless()

    def __getitem__(self, index: int) -> Any:
        return next(self.draws), index


class Stubborn(random.Random):
    def seed(self, *_: Any, **__: Any) -> None:
        super().seed(1)


class Fresh(Numbers):
    """Draws from the operating system: no two processes draw alike."""

    def __getitem__(self, index: int) -> Any:
        return np.random.default_rng().random(), index


def refusal(loop: Loop, dataset: Any) -> str:
    with pytest.raises(Refused) as refused:
        inner(loop, DataLoader(dataset, batch_size=2), num_workers=2)
    return str(refused.value)


def test_a_number_that_a_dataset_draws_from_is_named(loop: Loop) -> None:
    assert refusal(loop, ByHand()).startswith("ByHand.state changes when ByHand is read, and workers get copies of it")


def test_one_that_a_transform_draws_from_is_named(loop: Loop) -> None:
    assert refusal(loop, InTransform()).startswith("InTransform.transform.state changes when InTransform is read")


def test_what_cannot_be_found_is_told_as_that(loop: Loop) -> None:
    assert refusal(loop, Suspended()).startswith("an unidentified random state is used when Suspended is read")


def test_a_generator_that_keeps_its_seed_is_named(loop: Loop) -> None:
    assert refusal(loop, One(Stubborn())) == (
        f"One.rng ({__name__}.Stubborn) gives the same numbers for every seed: workers would repeat its random numbers"
    )


def test_between_epochs_it_is_refused_at_once(loop: Loop) -> None:
    loader = DataLoader(One(Stubborn()), batch_size=4)
    loop.epoch(loader)
    with pytest.raises(Refused, match="for every seed"):
        loop.hooks.switch(num_workers=2)


class Shuffled(IterableDataset[Any]):
    def __init__(self) -> None:
        self.rng = random.Random(0)

    def __iter__(self) -> Iterator[Any]:
        for number in self.rng.sample(range(20), 20):
            yield torch.zeros(1), number


def test_workers_that_must_agree_on_their_draws_are_refused(loop: Loop) -> None:
    with pytest.raises(Refused, match=r"Shuffled\.rng may decide which worker delivers what"):
        inner(loop, DataLoader(Shuffled(), batch_size=2), num_workers=1)


def test_draws_of_the_operating_system_close_nothing(loop: Loop) -> None:
    assert inner(loop, DataLoader(Fresh(), batch_size=2), num_workers=2) is not None


def test_the_samples_are_read_once_for_a_dataset(loop: Loop) -> None:
    reads = []

    class Counted(Numbers):
        def __getitem__(self, index: int) -> Any:
            reads.append(index)
            return super().__getitem__(index)

    iterator = iter(DataLoader(Counted(), batch_size=4))
    next(iterator)
    loop.step()
    looks = []
    for workers in (1, 2):
        reads.clear()
        loop.hooks.switch(num_workers=workers)
        looks.append(list(reads))
    assert looks == [[0, 1, 0, 1], []]


def test_looking_moves_no_random_state(loop: Loop) -> None:
    loader = DataLoader(Drawing(), batch_size=2)
    iterator = iter(loader)
    next(iterator)
    loop.step()
    before = [torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate(), beside.bit_generator.state]  # type: ignore[index, union-attr]
    loop.hooks.switch(num_workers=2)
    after = [torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate(), beside.bit_generator.state]  # type: ignore[index, union-attr]
    assert torch.equal(before[0], after[0])  # type: ignore[arg-type]
    assert before[1:] == after[1:]


def test_the_profile_names_what_is_held(loop: Loop) -> None:
    loader = DataLoader(One(random.Random(0)), batch_size=4)
    loop.epoch(loader)
    assert loop.hooks.workload_facts()["dataset_generators"] == ["One.rng"]


def test_the_profile_says_why_workers_cannot_be(loop: Loop) -> None:
    loader = DataLoader(One(Stubborn()), batch_size=4)
    loop.epoch(loader)
    assert "for every seed" in loop.hooks.workload_facts()["generators_fault"]

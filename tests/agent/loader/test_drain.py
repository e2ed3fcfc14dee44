"""A second reader of the training loader, beside the script."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler, TensorDataset

from advisor import wire
from advisor.agent.observe import sampler as sampling

from .. import own_code
from ..loader_kit import Breaks, Loop, Numbers, Stream, living_workers, numbers, random_states, shuffled


def begun(loop: Loop, loader: Any) -> Any:
    """An iterator of the training loader, one batch into its epoch."""
    iterator = iter(loader)
    next(iterator)
    loop.step()
    return iterator


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_counted_and_timed(loop: Loop, workers: int) -> None:
    _iterator = begun(loop, DataLoader(Numbers(40, delay_s=0.001), batch_size=4, num_workers=workers))
    report = loop.hooks.drain(20.0, 30)
    assert (report["batches"], report["samples"], report["workers"]) == (30, 120, workers)
    assert report["fetch_s"] >= 0.05
    assert report["seconds"] > 0


@pytest.mark.parametrize("workers", [0, 2])
def test_the_script_goes_on_where_it_was(loop: Loop, workers: int) -> None:
    torch.manual_seed(2)
    plain = [numbers(batch) for batch in shuffled(num_workers=workers)]
    torch.manual_seed(2)
    iterator = iter(shuffled(num_workers=workers))
    seen = [numbers(next(iterator))]
    loop.step()
    loop.hooks.drain(20.0, 15)
    assert seen + [numbers(batch) for batch in iterator] == plain


def test_random_states_are_as_before(loop: Loop) -> None:
    class Noisy(Numbers):
        def __init__(self) -> None:
            super().__init__()
            self.own = random.Random(4)

        def __getitem__(self, index: int) -> Any:
            return torch.rand(1), index + 0 * self.own.randrange(9) + 0 * random.randrange(9)

    data = Noisy()
    generator = torch.Generator()
    sampler = RandomSampler(data, generator=generator)
    _iterator = begun(loop, DataLoader(data, batch_size=4, sampler=sampler, generator=generator))
    before = (random_states(), generator.get_state().tolist(), data.own.getstate())
    assert "refused" not in loop.hooks.drain(20.0, 15)
    assert (random_states(), generator.get_state().tolist(), data.own.getstate()) == before


def test_nothing_of_it_is_counted_for_the_script(loop: Loop) -> None:
    _iterator = begun(loop, shuffled())
    loop.hooks.take_sums()
    loop.hooks.drain(20.0, 15)
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert (sums["batches"], sums["fetch_s"], len(loop.hooks.facts())) == (0, None, 1)


def test_workers_are_ended(loop: Loop) -> None:
    _iterator = begun(loop, shuffled())
    assert loop.hooks.drain(20.0, 5, num_workers=2)["workers"] == 2
    assert living_workers() == 0


def test_it_ends_with_its_time(loop: Loop) -> None:
    _iterator = begun(loop, DataLoader(Numbers(40, delay_s=0.02), batch_size=1))
    assert loop.hooks.drain(0.1, 10_000)["batches"] < 40


@pytest.mark.slow
def test_a_batch_that_workers_take_too_long_for_is_not_waited_for(loop: Loop) -> None:
    data = Numbers(40)
    _iterator = begun(loop, DataLoader(data, batch_size=1))
    data.delay_s = 30.0
    begin = time.monotonic()
    report = loop.hooks.drain(0.3, 10, num_workers=1)
    assert "no batch" in report["refused"]
    assert time.monotonic() - begin < 25


def test_an_endless_sampler_is_read_lazily(loop: Loop) -> None:
    class Endless(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            while True:
                yield 1

        def __len__(self) -> int:
            return 10**10

    _iterator = begun(loop, DataLoader(Numbers(), batch_size=4, sampler=Endless()))
    assert loop.hooks.drain(20.0, 50)["batches"] == 50


def test_a_sampler_that_is_its_own_iterator_is_refused(loop: Loop) -> None:
    class Cursor(Sampler[int]):
        def __init__(self) -> None:
            self.place = 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> int:
            self.place += 1
            return self.place

    sampler = Cursor()
    _iterator = begun(loop, DataLoader(Numbers(100), batch_size=4, sampler=sampler))
    assert "Cursor is its own iterator" in loop.hooks.drain(20.0, 5)["refused"]
    assert sampler.place == 4


def test_an_iterable_dataset_with_an_open_file_is_refused(loop: Loop, tmp_path: Any) -> None:
    data = Stream()
    with (tmp_path / "samples").open("wb") as file:
        data.file = file  # type: ignore[attr-defined]
        _iterator = begun(loop, DataLoader(data, batch_size=4))
        assert "Stream.file" in loop.hooks.drain(20.0, 5)["refused"]


def test_a_broken_sample_is_told(loop: Loop) -> None:
    _iterator = begun(loop, DataLoader(Breaks(), batch_size=4))
    assert "sample nine is broken" in loop.hooks.drain(20.0, 5)["refused"]


def test_without_a_loader_there_is_nothing_to_read(loop: Loop) -> None:
    assert "no DataLoader" in loop.hooks.drain(1.0, 5)["refused"]


@pytest.mark.parametrize(("shards", "expected"), [(False, 1.0), (True, 0.0)])
def test_it_tells_whether_workers_would_deliver_the_same(loop: Loop, shards: bool, expected: float) -> None:
    _iterator = begun(loop, DataLoader(Stream(64, shards), batch_size=4))
    assert loop.hooks.drain(20.0, 20, num_workers=2)["duplicates_fraction"] == expected


# --- where the time of a reading goes ---------------------------------------------------------------------------------

PICTURES = """
import time
class Pictures:
    def __len__(self):
        return 1000
    def __getitem__(self, index):
        picture = decode(index)
        return picture
def decode(index):
    time.sleep(0.002)
    return float(index)
"""


def lines_of_a_drain(loop: Loop, loader: Any) -> list[wire.SampledLine]:
    """The loop stands in its own line meanwhile, as at the end of an optimizer's step."""
    _iterator = begun(loop, loader)
    sampler = sampling.Sampler(loop.clock)
    sampler.start(500, in_loader=True)
    loop.clock.on_update = lambda _update: loop.hooks.drain(0.5, 10_000, 0)  # type: ignore[assignment,return-value]
    loop.clock.end_update()
    sampler.stop()
    hits, lines = sampler.take()
    assert hits == sum(line.hits for line in lines) > 0
    return lines


def test_a_drain_names_the_librarys_function_where_it_does_all_the_work(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = own_code.library(tmp_path, monkeypatch, "pictures", PICTURES)
    lines = lines_of_a_drain(loop, DataLoader(slow.Pictures(), batch_size=4))
    assert __file__ not in {line.file for line in lines}
    assert (lines[0].file, lines[0].line, lines[0].function) == (slow.__file__, 7, "__getitem__")
    assert (lines[0].library, lines[0].phase, lines[0].kind) == ("pictures", "data_wait", "python")


def test_a_drain_names_the_datasets_line_where_it_is_the_users(loop: Loop) -> None:
    lines = lines_of_a_drain(loop, DataLoader(Numbers(1000, delay_s=0.002), batch_size=4))
    assert (Path(lines[0].file).name, lines[0].function, lines[0].kind) == ("loader_kit.py", "__getitem__", "sleep")
    assert __file__ not in {line.file for line in lines}


def test_a_drain_names_torchs_own_code_where_there_is_no_other(loop: Loop) -> None:
    rows = TensorDataset(torch.zeros(4000, 4))
    lines = lines_of_a_drain(loop, DataLoader(rows, batch_size=100))
    assert {line.library for line in lines} == {"torch"}
    assert {"dataset.py", "collate.py"} & {Path(line.file).name for line in lines}


@pytest.mark.slow
def test_the_loops_own_wait_for_a_librarys_dataset_stays_its_own_line(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = own_code.library(tmp_path, monkeypatch, "pictures", PICTURES)
    sampler = sampling.Sampler(loop.clock)
    sampler.start(500)
    for _batch in DataLoader(slow.Pictures(), batch_size=50):
        loop.step()
    sampler.stop()
    first = sampler.take()[1][0]
    assert (first.file, first.phase, first.library) == (__file__, "data_wait", "pictures")

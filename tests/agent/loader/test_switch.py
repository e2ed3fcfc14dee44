"""Other loader settings in the middle of an epoch."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, SequentialSampler

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loop.clock import StepClock
from advisor.refused import Refused

from ..loader_kit import Loop, Numbers, Stream, flat, living_workers, numbers, random_states, shuffled

SETTINGS = [
    {"num_workers": 2},
    {"num_workers": 1, "prefetch_factor": 3},
    {"num_workers": 2, "persistent_workers": True},
    {"batch_size": 8},
    {"batch_size": 3},
    {"num_workers": 2, "batch_size": 6},
    {"split": 2},
    {"split": 3, "num_workers": 1, "persistent_workers": True},
    {"split": 3, "batch_size": 8},
    {},
    {"num_workers": 0},
]


def run(loop: Loop | None, loader: Any, switches: dict[int, dict[str, Any]], epochs: int = 2) -> list[list[list[int]]]:
    """Numbers by epoch and batch; `switches` are carried out after so many batches of the whole run."""
    done, result = 0, []
    for _ in range(epochs):
        batches = []
        for batch in loader:
            batches.append(numbers(batch))
            done += 1
            if loop is not None:
                loop.step()
                if done in switches:
                    loop.hooks.switch(**switches[done])
        result.append(batches)
    return result


def untouched(make: Any, epochs: int = 2) -> tuple[list[list[list[int]]], list[Any]]:
    torch.manual_seed(7)
    result = run(None, make(), {}, epochs)
    return result, random_states()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("written", [0, 2])
def test_every_sample_is_delivered_once_an_epoch(loop: Loop, written: int, settings: dict[str, Any]) -> None:
    epochs = run(loop, shuffled(num_workers=written), {3: settings, 7: {}})
    assert [sorted(flat(epoch)) for epoch in epochs] == [list(range(40))] * 2


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("written", [0, 2])
def test_the_order_of_samples_is_that_of_an_untouched_run(written: int, settings: dict[str, Any]) -> None:
    plain, _ = untouched(lambda: shuffled(num_workers=written))
    clock = StepClock()
    hooks = LoaderHooks(clock)
    hooks.install()
    try:
        torch.manual_seed(7)
        switched = run(Loop(hooks, clock), shuffled(num_workers=written), {3: settings})
    finally:
        hooks.close()
    assert [flat(epoch) for epoch in switched] == [flat(epoch) for epoch in plain]


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("written", [0, 2])
def test_batches_and_random_states_equal_an_untouched_run(written: int, persistent: bool) -> None:
    def make() -> DataLoader[Any]:
        return shuffled(num_workers=written, persistent_workers=persistent and written > 0)

    plain, states = untouched(make, epochs=3)
    clock = StepClock()
    hooks = LoaderHooks(clock)
    hooks.install()
    try:
        torch.manual_seed(7)
        loader = make()
        switches = {2: {"num_workers": 1}, 5: {}, 8: {"num_workers": 2 - written}, 23: {"prefetch_factor": 4}}
        if not written:
            del switches[23]
        switched = run(Loop(hooks, clock), loader, switches, epochs=3)
        assert random_states() == states
    finally:
        hooks.close()
    assert switched == plain


def test_a_larger_micro_batch_is_delivered_from_the_next_batch_on(loop: Loop) -> None:
    (batches,) = run(loop, shuffled(), {2: {"batch_size": 8}}, epochs=1)
    assert [len(batch) for batch in batches] == [4, 4, 8, 8, 8, 8]


def test_a_micro_batch_that_does_not_divide_leaves_a_short_last_batch(loop: Loop) -> None:
    (batches,) = run(loop, shuffled(), {1: {"batch_size": 7}}, epochs=1)
    assert [len(batch) for batch in batches] == [4, 7, 7, 7, 7, 7, 1]


def test_no_short_batch_where_the_script_drops_them(loop: Loop) -> None:
    (batches,) = run(loop, shuffled(drop_last=True), {1: {"batch_size": 7}}, epochs=1)
    assert [len(batch) for batch in batches] == [4, 7, 7, 7, 7, 7]


def test_batches_have_the_written_size_after_switching_back(loop: Loop) -> None:
    (batches,) = run(loop, shuffled(), {1: {"batch_size": 7}, 2: {}}, epochs=1)
    assert [len(batch) for batch in batches] == [4, 7, *[4] * 7, 1]


def test_a_new_epoch_has_the_written_batches_again_after_switching_back(loop: Loop) -> None:
    loader = DataLoader(Numbers(12), batch_size=4)
    epochs = run(loop, loader, {1: {"batch_size": 3}, 2: {}})
    assert epochs[1] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_the_iterator_keeps_its_type(loop: Loop) -> None:
    iterator = iter(shuffled())
    kind = type(iterator)
    next(iterator)
    loop.step()
    loop.hooks.switch(num_workers=2)
    next(iterator)
    assert type(iterator) is kind


def test_workers_are_ended_when_the_settings_are_left(loop: Loop) -> None:
    run(loop, shuffled(), {2: {"num_workers": 2}, 5: {}}, epochs=1)
    assert living_workers() == 0


def test_workers_are_ended_with_the_epoch(loop: Loop) -> None:
    run(loop, shuffled(), {2: {"num_workers": 2}})
    assert living_workers() == 0


def test_workers_are_ended_when_an_iterator_is_left_in_the_middle(loop: Loop) -> None:
    iterator = iter(shuffled())
    next(iterator)
    loop.step()
    loop.hooks.switch(num_workers=2)
    next(iterator)
    del iterator
    assert living_workers() == 0


def test_persistent_workers_stay_over_epochs(loop: Loop) -> None:
    loader = shuffled()
    run(loop, loader, {2: {"num_workers": 1, "persistent_workers": True}}, epochs=1)
    (before,) = _worker_ids()
    run(loop, loader, {}, epochs=2)
    assert _worker_ids() == [before]


def test_persistent_workers_go_with_the_switch(loop: Loop) -> None:
    loader = shuffled()
    run(loop, loader, {2: {"num_workers": 1, "persistent_workers": True}}, epochs=1)
    loop.hooks.switch()
    assert living_workers() == 0


def test_workers_of_the_script_do_not_start_where_others_fetch(loop: Loop) -> None:
    loader = shuffled(num_workers=2)
    run(loop, loader, {2: {"num_workers": 0}}, epochs=1)
    iterator = iter(loader)
    next(iterator)
    assert _worker_ids() == []


def test_persistent_workers_of_the_script_are_used_again(loop: Loop) -> None:
    loader = shuffled(num_workers=1, persistent_workers=True)
    run(loop, loader, {2: {"num_workers": 0}}, epochs=2)
    (own,) = _worker_ids()
    loop.hooks.switch()
    assert [sorted(flat(epoch)) for epoch in run(loop, loader, {}, epochs=2)] == [list(range(40))] * 2
    assert _worker_ids() == [own]


def test_switched_back_before_the_parked_workers_began_their_epoch(loop: Loop) -> None:
    loader = shuffled(num_workers=1, persistent_workers=True)
    run(loop, loader, {2: {"num_workers": 0}}, epochs=1)
    iterator = iter(loader)
    loop.hooks.switch()
    assert sorted(flat([numbers(batch) for batch in iterator])) == list(range(40))


@pytest.mark.parametrize("in_order", [True, False])
def test_no_sample_is_lost_where_workers_overtake_each_other(loop: Loop, in_order: bool) -> None:
    class Uneven(Numbers):
        def __getitem__(self, index: int) -> Any:
            self.delay_s = 0.01 if index % 8 < 4 else 0.0
            return super().__getitem__(index)

    loader = DataLoader(Uneven(64), batch_size=4, num_workers=2, in_order=in_order)
    (batches,) = run(loop, loader, {3: {"num_workers": 1}, 6: {}, 9: {"num_workers": 0}}, epochs=1)
    assert sorted(flat(batches)) == list(range(64))


def test_a_batch_sampler_of_the_script(loop: Loop) -> None:
    data = Numbers()
    loader = DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 4, drop_last=False))
    (batches,) = run(loop, loader, {2: {"num_workers": 2}, 4: {"batch_size": 8}, 6: {}}, epochs=1)
    assert sorted(flat(batches)) == list(range(40))


def test_a_sampler_of_batches_with_batch_size_none(loop: Loop) -> None:
    class Whole(Numbers):
        def __getitem__(self, index: Any) -> Any:
            return torch.tensor(index, dtype=torch.float), list(index)

    loader = DataLoader(Whole(), batch_size=None, sampler=BatchSampler(SequentialSampler(range(40)), 4, False))
    (batches,) = run(loop, loader, {2: {"num_workers": 1}, 4: {"batch_size": 8}, 5: {}}, epochs=1)
    assert sorted(flat(batches)) == list(range(40))


@pytest.mark.slow
def test_an_endless_sampler(loop: Loop) -> None:
    class Endless(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            while True:
                yield from range(40)

        def __len__(self) -> int:
            return 10**10

    iterator = iter(DataLoader(Numbers(), batch_size=4, sampler=Endless()))
    seen = []
    for count in range(30):
        seen += numbers(next(iterator))
        loop.step()
        loop.hooks.switch(num_workers=count % 3 // 2)
    assert seen == list(range(40)) * 3


def test_a_loader_that_is_read_from_a_thread(loop: Loop) -> None:
    queue: Queue[Any] = Queue(maxsize=1)

    def read() -> None:
        for batch in shuffled():
            queue.put(numbers(batch))
        queue.put(None)

    thread = threading.Thread(target=read)
    thread.start()
    seen = []
    while (batch := queue.get(timeout=30)) is not None:
        loop.step()
        seen += batch
        if len(seen) == 16:
            loop.hooks.switch(num_workers=1)
    thread.join()
    assert sorted(seen) == list(range(40))


def test_a_subclass_with_an_iter_of_its_own(loop: Loop) -> None:
    class Cycle(DataLoader[Any]):
        def __iter__(self) -> Any:
            while True:
                yield from super().__iter__()

    iterator = iter(Cycle(Numbers(), batch_size=4))
    seen = []
    for count in range(20):
        seen += numbers(next(iterator))
        loop.step()
        if count == 5:
            loop.hooks.switch(num_workers=2)
    assert seen == list(range(40)) * 2


def test_an_iterable_dataset_takes_another_micro_batch_in_place(loop: Loop) -> None:
    (batches,) = run(loop, DataLoader(Stream(), batch_size=4), {2: {"batch_size": 8}}, epochs=1)
    assert [len(batch) for batch in batches] == [4, 4, 8, 8, 8, 8]
    assert flat(batches) == list(range(40))


def test_an_iterable_dataset_goes_on_where_it_was_after_other_workers(loop: Loop) -> None:
    loader = DataLoader(Stream(), batch_size=4)
    (batches,) = run(loop, loader, {2: {"num_workers": 1}, 4: {}}, epochs=1)
    assert flat(batches) == [*range(8), *range(8), *range(8, 40)]


def test_a_failed_build_leaves_everything_as_it_was(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    iterator = iter(shuffled())
    seen = numbers(next(iterator))
    loop.step()
    monkeypatch.setattr(os, "fork", _no_process)
    with pytest.raises(Refused, match="no process today"):
        loop.hooks.switch(num_workers=2)
    for batch in iterator:
        seen += numbers(batch)
    assert sorted(seen) == list(range(40))


def _no_process() -> int:
    raise OSError("no process today")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_workers": 0, "prefetch_factor": 4}, "needs workers"),
        ({"num_workers": 0, "persistent_workers": True}, "needs workers"),
        ({"num_workers": -1}, "not a number of workers"),
        ({"batch_size": 0}, "not a number of samples"),
    ],
)
def test_settings_that_make_no_sense_are_refused(loop: Loop, settings: dict[str, Any], reason: str) -> None:
    loader = shuffled()
    run(loop, loader, {}, epochs=1)
    with pytest.raises(Refused, match=reason):
        loop.hooks.switch(**settings)


def test_pinning_is_refused_without_an_accelerator(loop: Loop) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is an accelerator")
    loader = shuffled()
    run(loop, loader, {}, epochs=1)
    with pytest.raises(Refused, match="accelerator"):
        loop.hooks.switch(pin_memory=True)


def test_an_open_file_in_the_dataset_refuses_workers(loop: Loop, tmp_path: Any) -> None:
    data = Numbers()
    with (tmp_path / "samples").open("wb") as file:
        data.file = file  # type: ignore[attr-defined]
        iterator = iter(DataLoader(data, batch_size=4))
        next(iterator)
        loop.step()
        with pytest.raises(Refused, match=r"Numbers\.file"):
            loop.hooks.switch(num_workers=2)


def test_a_batch_sampler_that_chooses_refuses_another_micro_batch(loop: Loop) -> None:
    class Pairs(Sampler[list[int]]):
        batch_size = 2

        def __iter__(self) -> Iterator[list[int]]:
            return iter([[index, 39 - index] for index in range(20)])

    loader = DataLoader(Numbers(), batch_sampler=Pairs())
    run(loop, loader, {}, epochs=1)
    with pytest.raises(Refused, match="Pairs"):
        loop.hooks.switch(batch_size=4)


def test_a_dataset_that_is_its_own_iterator_refuses_workers(loop: Loop) -> None:
    class Cursor(Stream):
        def __iter__(self) -> Any:
            self.place = iter(range(self.length))
            return self

        def __next__(self) -> Any:
            return torch.zeros(3), next(self.place)

    iterator = iter(DataLoader(Cursor(), batch_size=4))
    next(iterator)
    loop.step()
    with pytest.raises(Refused, match="its own iterator"):
        loop.hooks.switch(num_workers=1)


def test_workers_that_would_repeat_each_other_are_refused(loop: Loop) -> None:
    iterator = iter(DataLoader(Stream(200), batch_size=4))
    next(iterator)
    loop.step()
    with pytest.raises(Refused, match="repeat each other: 100%"):
        loop.hooks.switch(num_workers=2)


def test_workers_that_share_the_dataset_out_are_taken(loop: Loop) -> None:
    iterator = iter(DataLoader(Stream(200, shards=True), batch_size=4))
    next(iterator)
    loop.step()
    loop.hooks.switch(num_workers=2)
    assert len(set(flat([numbers(batch) for batch in iterator]))) == 200


def test_nothing_to_set_without_a_loader(loop: Loop) -> None:
    with pytest.raises(Refused, match="no DataLoader"):
        loop.hooks.switch(num_workers=1)


def test_workers_are_seeded_as_those_of_the_script(loop: Loop) -> None:
    class Seeds(Numbers):
        def __getitem__(self, index: int) -> Any:
            return index, torch.initial_seed()

    iterator = iter(DataLoader(Seeds(), batch_size=4, num_workers=1))
    (seed,) = set(numbers(next(iterator)))
    loop.step()
    loop.hooks.switch(prefetch_factor=3)
    assert set(numbers(next(iterator))) == {seed}


def test_adjusting_keeps_what_is_not_named(loop: Loop) -> None:
    iterator = iter(shuffled())
    next(iterator)
    loop.step()
    loop.hooks.adjust(num_workers=1)
    loop.hooks.adjust(batch_size=8)
    assert len(numbers(next(iterator))) == 8
    assert loop.hooks.in_flight_batches() == 2


def test_workers_hold_no_more_batches_than_the_epoch_has_left(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(40), batch_size=4))
    next(iterator)
    loop.step()
    loop.hooks.switch(num_workers=2)
    held = []
    for _ in range(9):
        held.append(loop.hooks.in_flight_batches())
        next(iterator)
    assert held == [4, 4, 4, 4, 4, 4, 3, 2, 1]
    assert loop.hooks.epoch_batches() == 10
    loop.hooks.switch(batch_size=8)
    assert loop.hooks.epoch_batches() is None


def _worker_ids() -> list[int]:
    import multiprocessing

    return sorted(child.pid or 0 for child in multiprocessing.active_children())


def adjusted(loop: Loop, loader: Any = None) -> Any:
    """An iterator in use, so that settings are carried out at once."""
    iterator = iter(loader if loader is not None else shuffled(400))
    next(iterator)
    loop.step()
    return iterator


def wanted(loop: Loop) -> dict[str, Any]:
    return loop.hooks.deliveries.switch.wanted


def test_giving_up_one_setting_leaves_what_another_has_set(loop: Loop) -> None:
    _keep = adjusted(loop)
    loop.hooks.adjust("a", num_workers=1)
    loop.hooks.adjust("b", batch_size=8)
    loop.hooks.adjust("a", num_workers=None)
    assert wanted(loop) == {"batch_size": 8}


def test_of_two_that_set_the_same_the_first_has_its_way_again_once_the_second_gives_up(loop: Loop) -> None:
    _keep = adjusted(loop)
    loop.hooks.adjust("a", batch_size=8)
    loop.hooks.adjust("b", batch_size=2)
    both = wanted(loop)
    loop.hooks.adjust("b", batch_size=None)
    assert [both, wanted(loop)] == [{"batch_size": 2}, {"batch_size": 8}]


def test_settings_that_need_each_other_can_be_set_and_given_up_in_any_order(loop: Loop) -> None:
    _keep = adjusted(loop)
    with loop.hooks.together():
        loop.hooks.adjust("prefetch_factor", prefetch_factor=4)
        loop.hooks.adjust("num_workers", num_workers=1)
    set_together = wanted(loop)
    with loop.hooks.together():
        loop.hooks.adjust("num_workers", num_workers=None)
        loop.hooks.adjust("prefetch_factor", prefetch_factor=None)
    assert [set_together, wanted(loop)] == [{"prefetch_factor": 4, "num_workers": 1}, {}]


def test_a_setting_that_is_refused_is_not_tried_again_with_the_next(loop: Loop) -> None:
    _keep = adjusted(loop)
    with pytest.raises(Refused):
        loop.hooks.adjust("prefetch_factor", prefetch_factor=4)
    loop.hooks.adjust("batch_size", batch_size=8)
    assert wanted(loop) == {"batch_size": 8}


def parts_of(batches: list[list[int]], size: int) -> list[list[int]]:
    """Batches in parts of at most that size, as even as can be."""
    found = []
    for batch in batches:
        count = -(-len(batch) // size)
        ends = [len(batch) * number // count for number in range(count + 1)]
        found += [batch[begin:end] for begin, end in itertools.pairwise(ends)]
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_parts_that_never_hold_samples_of_two(loop: Loop, workers: int) -> None:
    plain = run(None, DataLoader(Numbers(22), batch_size=5), {}, epochs=2)
    found = run(loop, DataLoader(Numbers(22), batch_size=5, num_workers=workers), {1: {"split": 2}})
    assert found == [plain[0][:1] + parts_of(plain[0][1:], 2), parts_of(plain[1], 2)]


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_that_were_fetched_ahead_are_whole_batches_again_after_switching_back(loop: Loop, workers: int) -> None:
    loader = DataLoader(Numbers(22), batch_size=5, num_workers=workers)
    (found,) = run(loop, loader, {1: {"split": 2}, 4: {}}, epochs=1)
    assert [len(batch) for batch in found] == [5, 1, 2, 2, 5, 5, 2]


@pytest.mark.parametrize("written", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
@pytest.mark.parametrize("settings", [{"split": 2}, {"batch_size": 2}])
def test_an_epoch_that_we_begin_has_its_first_batches_as_set_too(
    loop: Loop, settings: dict[str, Any], written: dict[str, Any]
) -> None:
    loop.hooks.deliveries.hold_ends = True
    rows = iter(DataLoader(Numbers(8), batch_size=4, **written))
    next(rows)
    loop.step()
    loop.hooks.switch(**settings)
    found = []
    for _ in range(6):
        found.append(numbers(next(rows)))
        loop.step()
    assert found == [[4, 5], [6, 7], [0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(("settings", "told"), [({"split": 0}, "not a number of samples"), ({"split": 2}, "iterable")])
def test_parts_are_refused_where_they_cannot_be(loop: Loop, settings: dict[str, Any], told: str) -> None:
    loader = DataLoader(Stream() if "iterable" in told else Numbers(), batch_size=4)
    with pytest.raises(Refused, match=told):
        run(loop, loader, {1: settings}, epochs=1)


class Drawing(Numbers):
    def __getitem__(self, index: int) -> Any:
        torch.rand(())
        return super().__getitem__(index)


def test_what_is_refused_only_when_a_batch_is_asked_for_is_told_then(loop: Loop) -> None:
    told: list[str] = []
    loop.hooks.deliveries.on_late_refusal = told.append
    loader = DataLoader(Drawing(40), batch_size=4)
    loop.epoch(loader)
    loop.hooks.adjust("cache_dataset", cache_dataset=True)
    assert told == []
    assert flat(loop.epoch(loader)) == list(range(40))
    assert [("draws random numbers" in why, loop.hooks.set_by()) for why in told] == [(True, ["cache_dataset"])]


def test_how_busy_a_pace_keeps_the_workers_follows_from_their_fetches(loop: Loop) -> None:
    class Slow(Numbers):
        def __getitem__(self, index: int) -> Any:
            time.sleep(0.005)
            return super().__getitem__(index)

    loader = DataLoader(Slow(40), batch_size=4, num_workers=2)
    assert loop.hooks.busy_workers(10.0) is None
    loop.epoch(loader)
    iterator = iter(loader)
    next(iterator)
    busy = loop.hooks.busy_workers(10.0)  # of the 20 ms and more of a batch
    assert busy is not None
    assert 0.1 <= busy < 0.4
    assert loop.hooks.busy_workers(20.0) == pytest.approx(2 * busy, rel=0.3)


def test_only_another_setting_of_the_loader_counts_as_a_switch(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(40), batch_size=4))
    next(iterator)
    loop.step()
    before = loop.hooks.switches
    loop.hooks.replay(True)
    loop.hooks.replay(False)
    assert loop.hooks.switches == before
    loop.hooks.switch(num_workers=1)
    assert loop.hooks.switches > before

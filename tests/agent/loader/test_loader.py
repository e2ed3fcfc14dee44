"""What the hooks see of loaders: waits, roles, samples, facts; and that the script sees nothing of the hooks."""

from __future__ import annotations

import gc
import hashlib
import itertools
import pickle
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections import UserDict, namedtuple
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loader.register import KEPT_FORWARDS
from advisor.agent.loader.replay import Cloner
from advisor.agent.loop.clock import StepClock
from advisor.types.workload import LoaderFacts
from advisor.wire import LoaderSums

from ..loader_kit import Breaks, Loop, Numbers, Pieces, Stream, flat, living_workers, numbers, random_states, shuffled

Point = namedtuple("Point", ["x", "y"])


class Multithreaded(Numbers):
    """As NumPy's linear algebra does: several threads compute without Python's lock while a sample is read."""

    def __init__(self, length: int, threads: int) -> None:
        super().__init__(length)
        self.threads = threads

    def __getitem__(self, index: int) -> Any:
        threads = [threading.Thread(target=hashlib.sha256, args=(bytes(4_000_000),)) for _ in range(self.threads - 1)]
        for thread in threads:
            thread.start()
        hashlib.sha256(bytes(4_000_000))
        for thread in threads:
            thread.join()
        return super().__getitem__(index)


# --- waits ------------------------------------------------------------------------------------------------------------


def test_the_wait_for_a_batch_is_data_wait(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(8, delay_s=0.005), batch_size=4))
    assert loop.phases_ns()["data_wait"] >= 20_000_000


def test_the_first_batch_of_workers_is_a_restart(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(8, delay_s=0.01), batch_size=4, num_workers=1))
    first = loop.phases_ns(0)
    assert first["loader_restart"] >= 40_000_000 > first["data_wait"]


def test_the_first_batch_without_workers_is_an_ordinary_wait(loop: Loop) -> None:
    loop.epoch(DataLoader(Numbers(8, delay_s=0.01), batch_size=4))
    assert loop.phases_ns(0)["data_wait"] >= 40_000_000


@pytest.mark.parametrize(("threads", "least", "most"), [(1, 1.0, 1.2), (3, 2.0, 4.0)])
def test_threads_that_a_worker_keeps_busy_are_counted(loop: Loop, threads: int, least: float, most: float) -> None:
    loop.epoch(DataLoader(Multithreaded(16, threads), batch_size=4, num_workers=1))
    counted = loop.hooks.workload_facts()["fetching_threads"]
    assert isinstance(counted, float)
    assert least <= counted <= most


def test_without_workers_their_threads_are_not_known(loop: Loop) -> None:
    loop.epoch(DataLoader(Multithreaded(8, 3), batch_size=4))
    assert loop.hooks.workload_facts()["fetching_threads"] is None


def test_a_thread_that_reads_ahead_is_not_charged_to_the_loop(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(8, delay_s=0.01), batch_size=4))
    loop.clock.end_update()
    thread = threading.Thread(target=lambda: next(iterator))
    thread.start()
    thread.join()
    loop.clock.end_update()
    assert loop.phases_ns()["data_wait"] == 0


def test_a_loader_inside_a_dataset_is_not_a_loader_of_the_loop(loop: Loop) -> None:
    class Nested(Numbers):
        def __getitem__(self, index: int) -> Any:
            return next(iter(DataLoader(Numbers(4), batch_size=1)))

    loop.epoch(DataLoader(Nested(8), batch_size=4))
    assert [fact["dataset_class"] for fact in loop.hooks.facts()] == ["Nested"]


def test_the_clock_is_back_in_the_loop_after_an_exception(loop: Loop) -> None:
    with pytest.raises(KeyError):
        loop.epoch(DataLoader(Breaks(), batch_size=4))
    assert not loop.clock.inside(0)


def test_reading_for_evaluation_is_a_span_of_evaluation(loop: Loop) -> None:
    evaluation = DataLoader(Numbers(8, delay_s=0.005), batch_size=4)
    next(iter(evaluation))
    loop.hooks.saw_evaluation_forward()
    loop.clock.end_update()
    for _ in evaluation:
        loop.hooks.saw_evaluation_forward()
    loop.clock.end_update()
    spent = loop.updates[-1].evaluation_ns
    assert spent is not None
    assert spent[0] >= 40_000_000


# --- roles ------------------------------------------------------------------------------------------------------------


def test_roles_come_from_the_forwards_that_follow(loop: Loop) -> None:
    training, evaluation = shuffled(), DataLoader(Numbers(8), batch_size=4)
    for _ in training:
        loop.step()
        for _ in evaluation:
            loop.hooks.saw_evaluation_forward()
    assert [fact["role"] for fact in loop.hooks.facts()] == ["train", "evaluation"]


def test_a_batch_that_an_untrained_model_sees_first_is_the_trainings(loop: Loop) -> None:
    """A frozen part, or a teacher, that runs without gradients before the forward of what is trained."""
    for _ in shuffled():
        loop.hooks.saw_evaluation_forward(weak=True)
        loop.step()
    assert [fact["role"] for fact in loop.hooks.facts()] == ["train"]
    assert loop.hooks.train is not None


@pytest.mark.parametrize("batches", [1, 3])
def test_batches_that_only_an_untrained_model_sees_are_an_evaluations(loop: Loop, batches: int) -> None:
    """An average of the weights is what many scripts evaluate."""
    training, evaluation = shuffled(), DataLoader(Numbers(4 * batches), batch_size=4)
    for _ in training:
        loop.step()
        for _ in evaluation:
            loop.hooks.saw_evaluation_forward(weak=True)
    assert [fact["role"] for fact in loop.hooks.facts()] == ["train", "evaluation"]


def test_the_loader_of_a_later_stage_takes_over(loop: Loop) -> None:
    first, second = shuffled(), DataLoader(Numbers(60), batch_size=4)
    loop.epoch(first)
    loop.epoch(second)
    assert loop.hooks.train is not None
    assert loop.hooks.train.loader() is second


def test_a_loader_made_anew_every_epoch_is_one_loader(loop: Loop) -> None:
    for _ in range(3):
        loop.epoch(shuffled())
    assert len(loop.hooks.facts()) == 1


def test_batches_that_the_script_keeps_are_of_no_loader(loop: Loop) -> None:
    kept = list(DataLoader(Numbers(40), batch_size=4))
    for _batch in kept:
        loop.step()
    assert ([fact["role"] for fact in loop.hooks.facts()], loop.hooks.train) == (["unused"], None)
    assert sum(update.samples or 0 for update in loop.updates) == 0  # they are counted from the model's calls


@pytest.mark.parametrize("how", ["one batch", "a few", "while training"])
def test_batches_that_were_kept_are_known_after_a_while(loop: Loop, how: str) -> None:
    loader = DataLoader(Numbers(8 if how == "a few" else 40), batch_size=4)
    if how == "one batch":
        next(iter(loader))
    elif how == "a few":
        list(loader)
    else:
        loop.epoch(loader)
    loop.step()
    assert loop.hooks.train is not None
    for _ in range(KEPT_FORWARDS):
        loop.step()
    assert loop.hooks.train is None
    loop.epoch(loader)
    assert loop.hooks.train is not None


def test_many_updates_of_one_batch_leave_its_loader_the_training_loader(loop: Loop) -> None:
    batches = iter(DataLoader(Numbers(40), batch_size=4))
    next(batches)
    for _ in range(2 * KEPT_FORWARDS):
        loop.step()
    assert loop.hooks.train is not None


def test_a_loader_that_was_read_for_nothing_has_no_role(loop: Loop) -> None:
    next(iter(shuffled()))
    assert [fact["role"] for fact in loop.hooks.facts()] == ["unused"]


# --- samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_are_the_indices_of_the_batch(loop: Loop, workers: int) -> None:
    def concatenate(items: list[Any]) -> Any:
        return torch.cat(items)

    loader = DataLoader(Pieces(10), batch_size=4, collate_fn=concatenate, num_workers=workers)
    for _ in loader:
        loop.step()
    assert [update.samples for update in loop.updates] == [4, 4, 2]
    assert loop.hooks.samples_from == "indices"


def test_samples_of_an_iterable_dataset_are_what_was_collated(loop: Loop) -> None:
    for _ in DataLoader(Stream(10), batch_size=4, collate_fn=list):
        loop.step()
    assert [update.samples for update in loop.updates] == [4, 4, 2]


def test_samples_from_workers_of_an_iterable_dataset_are_the_leading_dimension(loop: Loop) -> None:
    loop.epoch(DataLoader(Stream(10), batch_size=4, num_workers=1))
    assert [update.samples for update in loop.updates] == [4, 4, 2]
    assert loop.hooks.samples_from == "leading dimension"


def test_samples_that_nothing_tells_are_not_known(loop: Loop) -> None:
    class Words(Stream):
        def __iter__(self) -> Iterator[Any]:
            return iter(["a", "b"])

    for _ in DataLoader(Words(), batch_size=None):
        loop.step()
    assert [update.samples for update in loop.updates] == [None, None]
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert sums["samples"] is None


def test_samples_are_those_of_one_of_two_loaders_read_together(loop: Loop) -> None:
    for _ in zip(shuffled(), DataLoader(Numbers(), batch_size=1), strict=False):
        loop.step()
    assert {update.samples for update in loop.updates[1:]} <= {1, 4}
    assert len({update.samples for update in loop.updates[1:]}) == 1


# --- facts and sums ---------------------------------------------------------------------------------------------------


def test_facts_have_the_fields_of_the_value(loop: Loop) -> None:
    loop.epoch(shuffled())
    (fact,) = loop.hooks.facts()
    LoaderFacts(**fact)


def test_facts_name_the_line_that_made_the_loader(loop: Loop) -> None:
    loader = DataLoader(Numbers(), batch_size=4)
    line = sys._getframe().f_lineno - 1
    loop.epoch(loader)
    assert loop.hooks.facts()[0]["where"] == f"{__file__}:{line}"


def test_a_length_that_cannot_be_told_is_not_known(loop: Loop) -> None:
    class Shy(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(8))

        def __len__(self) -> int:
            raise NotImplementedError

    loop.epoch(DataLoader(Numbers(8), batch_size=4, sampler=Shy()))
    assert loop.hooks.facts()[0]["length_batches"] is None


def test_sums_have_the_fields_of_the_message(loop: Loop) -> None:
    loop.epoch(shuffled())
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert LoaderSums(**sums).batches == 10


@pytest.mark.parametrize("workers", [0, 2])
def test_fetching_is_timed_where_it_happens(loop: Loop, workers: int) -> None:
    loop.epoch(DataLoader(Numbers(20, delay_s=0.005), batch_size=4, num_workers=workers))
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert sums["fetch_s"] >= 0.1
    assert sums["collate_s"] < sums["fetch_s"] / 2


@pytest.mark.parametrize("workers", [0, 2])
def test_collating_is_timed_apart_from_fetching(loop: Loop, workers: int) -> None:
    def slowly(items: list[Any]) -> Any:
        time.sleep(0.02)
        return torch.utils.data.default_collate(items)

    loop.epoch(DataLoader(Numbers(20), batch_size=4, num_workers=workers, collate_fn=slowly))
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert sums["collate_s"] >= 0.1
    assert sums["fetch_s"] < sums["collate_s"] / 2


def pause_s() -> float:
    """20 ms, or what a busy machine makes of them."""
    begin_s = time.perf_counter()
    time.sleep(0.02)
    return time.perf_counter() - begin_s


def unpacking_slowly(packed_s: float) -> float:
    """Stands for the object: how long it took to be packed and unpacked."""
    taken_s.append(packed_s + pause_s())
    return taken_s[-1]


taken_s: list[float] = []


class Slow:
    def __reduce__(self) -> Any:
        return unpacking_slowly, (pause_s(),)


def test_packing_and_unpacking_are_the_way_from_a_worker(loop: Loop) -> None:
    taken_s.clear()

    def collate(items: list[Any]) -> Any:
        return [Slow(), torch.tensor([int(item[1]) for item in items])]

    loader = DataLoader(Numbers(20), batch_size=4, num_workers=2, collate_fn=collate)
    loop.epoch(loader)
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert len(taken_s) == 5
    assert sum(taken_s) <= sums["transfer_s"] < 1.5 * sum(taken_s)


def test_without_workers_nothing_is_on_its_way(loop: Loop) -> None:
    loop.epoch(shuffled())
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert sums["transfer_s"] is None


def test_sums_begin_anew_when_taken(loop: Loop) -> None:
    loader = shuffled()
    loop.epoch(loader)
    loop.hooks.take_sums()
    loop.epoch(loader)
    sums = loop.hooks.take_sums()
    assert sums is not None
    assert (sums["batches"], sums["samples"], sums["restarts"]) == (10, 40, 1)


@pytest.mark.slow
def test_work_in_spawned_workers_cannot_be_seen_and_breaks_nothing(loop: Loop) -> None:
    batches = loop.epoch(DataLoader(Numbers(8), batch_size=4, num_workers=1, multiprocessing_context="spawn"))
    sums = loop.hooks.take_sums()
    assert flat(batches) == list(range(8))
    assert sums is not None
    assert sums["fetch_s"] is None


@pytest.mark.parametrize(("shards", "expected"), [(False, 1.0), (True, 0.0)])
def test_duplicates_of_an_iterable_dataset_are_found(loop: Loop, shards: bool, expected: float) -> None:
    loop.epoch(DataLoader(Stream(32, shards), batch_size=4, num_workers=2))
    assert loop.hooks.facts()[0]["duplicates_fraction"] == expected


def test_samples_of_another_epoch_are_no_duplicates(loop: Loop) -> None:
    loader = DataLoader(Stream(24, shards=True), batch_size=4, num_workers=2)
    for _ in range(3):
        loop.epoch(loader)
    assert loop.hooks.facts()[0]["duplicates_fraction"] == 0.0


# --- nothing is seen of the hooks -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_batches_and_random_states_are_those_without_hooks(settings: dict[str, Any]) -> None:
    def run() -> tuple[Any, Any]:
        torch.manual_seed(3)
        loader = shuffled(**settings)
        return [[numbers(batch) for batch in loader] for _ in range(3)], random_states()

    plain = run()
    hooks = LoaderHooks(StepClock())
    hooks.install()
    try:
        assert run() == plain
    finally:
        hooks.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_of_the_dataset_comes_through(loop: Loop, workers: int) -> None:
    with pytest.raises(KeyError, match="sample nine is broken"):
        loop.epoch(DataLoader(Breaks(), batch_size=4, num_workers=workers))


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="older interpreters keep the raising frame")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_traceback_holds_none_of_our_frames(loop: Loop, workers: int) -> None:
    with pytest.raises(KeyError) as caught:
        loop.epoch(DataLoader(Breaks(), batch_size=4, num_workers=workers))
    text = "".join(traceback.format_exception(caught.value))
    assert "advisor/agent" not in text.replace(__file__, "").replace("tests/agent", "")


@pytest.mark.slow
def test_a_script_that_catches_a_broken_batch_gets_the_others(loop: Loop) -> None:
    iterator = iter(DataLoader(Breaks(), batch_size=4, num_workers=1))
    seen: list[int] = []
    while len(seen) < 36:
        try:
            seen += numbers(next(iterator))
            loop.step()
        except KeyError:
            loop.hooks.switch(num_workers=0)
    assert seen == [*range(8), *range(12, 40)]


def test_a_loader_without_samples(loop: Loop) -> None:
    assert loop.epoch(DataLoader(Numbers(0), batch_size=4)) == []


def test_a_loader_can_be_pickled(loop: Loop) -> None:
    loader = shuffled(num_workers=1)
    loop.epoch(loader)
    assert set(vars(pickle.loads(pickle.dumps(loader)))) == set(vars(loader))
    assert not [name for name in vars(loader) if "advisor" in name]


def test_datasets_are_freed_with_their_loader(loop: Loop) -> None:
    data = Numbers()
    alive = weakref.ref(data)
    loop.epoch(DataLoader(data, batch_size=4, num_workers=1))
    del data
    gc.collect()
    assert alive() is None


def test_an_iterator_is_freed_without_the_garbage_collector(loop: Loop) -> None:
    gc.disable()
    try:
        iterator = iter(shuffled())
        next(iterator)
        alive = weakref.ref(iterator)
        del iterator
        assert alive() is None
    finally:
        gc.enable()


def test_closing_puts_torch_back(loop: Loop) -> None:
    owners = (DataLoader, _BaseDataLoaderIter, _MultiProcessingDataLoaderIter)
    loop.hooks.close()
    plain = [dict(vars(owner)) for owner in owners]
    hooks = LoaderHooks(StepClock())
    hooks.install()
    assert [dict(vars(owner)) for owner in owners] != plain
    hooks.close()
    assert [dict(vars(owner)) for owner in owners] == plain


def test_an_iterator_in_use_goes_on_after_closing(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(12), batch_size=4, num_workers=1))
    seen = numbers(next(iterator))
    loop.hooks.close()
    assert seen + flat([numbers(batch) for batch in iterator]) == list(range(12))


def test_suspended_hooks_count_nothing_and_keep_the_place(loop: Loop) -> None:
    iterator = iter(shuffled())
    seen = numbers(next(iterator))
    loop.step()
    loop.hooks.suspend()
    seen += numbers(next(iterator))
    loop.clock.end_update()
    loop.hooks.resume()
    loop.hooks.switch(num_workers=1)
    assert loop.updates[-1].samples is None
    assert sorted(seen + flat([numbers(batch) for batch in iterator])) == list(range(40))


@pytest.mark.slow
def test_the_interpreter_ends_quietly_with_switched_persistent_workers() -> None:
    script = """
import torch
from torch.utils.data import DataLoader
from advisor.agent.loop.clock import StepClock
from advisor.agent.loader.hooks import LoaderHooks
from advisor.agent.loader.register import KEPT_FORWARDS
hooks = LoaderHooks(StepClock())
hooks.install()
loader = DataLoader(list(range(40)), batch_size=4, num_workers=1)
iterator = iter(loader)
for _ in range(3):
    next(iterator)
    hooks.saw_training_forward()
    hooks.switch(num_workers=2, persistent_workers=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- replayed batches -------------------------------------------------------------------------------------------------


def test_replayed_batches_do_not_move_the_sampler(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(100), batch_size=4))
    next(iterator)
    loop.step()
    loop.hooks.replay(True)
    replayed = [numbers(next(iterator)) for _ in range(20)]
    loop.hooks.replay(False)
    assert replayed[4:8] == replayed[:4]
    assert numbers(next(iterator)) == [20, 21, 22, 23]


def test_replayed_batches_are_not_spoilt_by_the_loop(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(80), batch_size=4))
    next(iterator)
    loop.step()
    loop.hooks.replay(True)
    for _ in range(12):
        batch = next(iterator)
        assert batch[0][:, 0].tolist() == batch[1].tolist()
        batch[0].zero_()


def test_replayed_batches_have_the_samples_of_their_indices(loop: Loop) -> None:
    iterator = iter(DataLoader(Pieces(80), batch_size=4, collate_fn=torch.cat))
    next(iterator)
    loop.step()
    loop.hooks.replay(True)
    for _ in range(10):
        next(iterator)
        loop.step()
    assert {update.samples for update in loop.updates} == {4}


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_an_epoch_of_replayed_batches_is_as_long_as_the_scripts(loop: Loop, settings: dict[str, Any]) -> None:
    loader = DataLoader(Numbers(40), batch_size=4, **settings)
    lengths = []
    for epoch in range(4):
        lengths.append(0)
        for _batch in loader:
            loop.step()
            lengths[-1] += 1
            if lengths[-1] == 3:
                loop.hooks.replay(epoch < 2)
    assert lengths == [10, 10, 10, 10]


def test_replayed_batches_go_on_where_epochs_are_prolonged(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(12), batch_size=4))
    told: list[int] = []
    loop.hooks.deliveries.on_prolonged = told.append
    next(iterator)
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    loop.hooks.replay(True)
    assert len([next(iterator) for _ in range(50)]) == 50
    assert told[0] == 3


def test_an_epoch_that_only_replayed_batches_prolong_is_told_too(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(160), batch_size=4))
    told: list[int] = []
    loop.hooks.deliveries.on_prolonged = told.append
    next(iterator)
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    loop.hooks.replay(True)
    for _ in range(39):
        next(iterator)
    assert told == []
    next(iterator)
    assert told == [40]


@pytest.mark.parametrize("replays", [False, True])
def test_an_epoch_ends_on_time_where_the_script_asked_for_its_length(loop: Loop, replays: bool) -> None:
    loader = DataLoader(Numbers(12), batch_size=4)
    loop.hooks.deliveries.hold_ends = True
    wanted, lengths = len(loader), []
    for _ in range(3):
        count = 0
        for _batch in itertools.islice(loader, 5 * wanted):
            loop.step()
            count += 1
            loop.hooks.replay(replays)
        lengths.append(count)
    assert lengths == [wanted] * 3


def test_a_library_that_asks_for_the_length_counts_on_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.agent.loader.register.is_library", lambda _file: True)
    loader = DataLoader(Numbers(12), batch_size=4)
    iterator = iter(loader)
    next(iterator)
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    assert len(loader) == 3
    assert len([next(iterator) for _ in range(20)]) == 20


def test_clones_keep_their_containers() -> None:
    class Named(UserDict):  # type: ignore[type-arg]
        pass

    batch = {"point": Point(torch.ones(2), [torch.zeros(1)]), "words": ("a", 1, None), "user": Named(x=torch.ones(1))}
    clone = Cloner().clone(batch)
    assert type(clone["point"]) is Point
    assert type(clone["user"]) is Named
    assert clone["user"]["x"] is not batch["user"]["x"]  # type: ignore[index]
    assert clone["words"] == ("a", 1, None)


def test_clones_keep_what_is_shared_in_a_batch() -> None:
    tensor = torch.ones(3)
    first, second = Cloner().clone([tensor, {"again": tensor}])
    assert first is second["again"] is not tensor


def test_clones_keep_the_memory_format() -> None:
    images = torch.ones(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert Cloner().clone(images).is_contiguous(memory_format=torch.channels_last)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"num_workers": 2}, {"num_workers": 1, "persistent_workers": True}, {"dataset": Stream(40)}]
)
def test_a_held_loader_goes_on_with_its_next_epoch(loop: Loop, settings: dict[str, Any]) -> None:
    iterator = iter(DataLoader(**{"dataset": Numbers(40), "batch_size": 4, **settings}))
    seen = numbers(next(iterator))
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    for _ in range(29):
        seen += numbers(next(iterator))
    assert seen == list(range(40)) * 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_held_epochs_draw_what_the_script_would_have_drawn(loop: Loop, workers: int) -> None:
    torch.manual_seed(5)
    loader = shuffled(num_workers=workers)
    plain = [[numbers(batch) for batch in loader] for _ in range(3)]
    states = random_states()
    torch.manual_seed(5)
    iterator = iter(shuffled(num_workers=workers))
    seen = [numbers(next(iterator))]
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    seen += [numbers(next(iterator)) for _ in range(29)]
    assert seen == [batch for epoch in plain for batch in epoch]
    assert random_states() == states


def test_a_held_loader_keeps_switched_settings(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(40), batch_size=4))
    seen = numbers(next(iterator))
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    loop.hooks.switch(num_workers=1)
    for _ in range(19):
        seen += numbers(next(iterator))
    assert seen == list(range(40)) * 2
    assert loop.hooks.fetching_workers() == 1


def test_an_evaluation_loader_is_never_held(loop: Loop) -> None:
    loop.epoch(shuffled())
    loop.hooks.deliveries.hold_ends = True
    assert len(list(DataLoader(Numbers(8), batch_size=4))) == 2


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_an_epoch_ends_when_asked_and_the_next_one_is_whole(loop: Loop, settings: dict[str, Any]) -> None:
    loader = DataLoader(Numbers(40), batch_size=4, **settings)
    count = 0
    for _ in loader:
        loop.step()
        count += 1
        if count == 3:
            loop.hooks.end_epoch_now()
    assert count == 3
    assert flat(loop.epoch(loader)) == list(range(40))


def test_workers_are_gone_after_an_epoch_that_was_ended(loop: Loop) -> None:
    iterator = iter(DataLoader(Numbers(40), batch_size=4, num_workers=2))
    next(iterator)
    loop.step()
    loop.hooks.end_epoch_now()
    assert list(iterator) == []
    assert living_workers() == 0


def test_held_epochs_ask_a_sampler_as_often_as_the_script_would_have(loop: Loop) -> None:
    class Eager(Sampler[list[int]]):
        def __iter__(self) -> Iterator[list[int]]:
            return iter(torch.randperm(40).view(10, 4).tolist())

    def make() -> DataLoader[Any]:
        return DataLoader(Numbers(40), batch_sampler=Eager(), num_workers=1)

    torch.manual_seed(5)
    loader = make()
    plain = [numbers(batch) for _ in range(2) for batch in loader]
    torch.manual_seed(5)
    iterator = iter(make())
    seen = [numbers(next(iterator))]
    loop.step()
    loop.hooks.deliveries.hold_ends = True
    seen += [numbers(next(iterator)) for _ in range(19)]
    assert seen == plain

"""persistent_workers: workers that stay, for loaders that begin epochs, with the samples they would have had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from live import says

from advisor import knobs
from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.types import Evidence

KNOB = knobs.get("persistent_workers")


def evidence(facts: dict[str, Any] | None = None, **loader: Any) -> Evidence:
    given = {"persistent_workers": False, **loader}
    found: Evidence = evolve(healthy_cpu(), {"workload": {"loaders": (train_loader(**given),), "facts": facts or {}}})
    return found


def values(facts: dict[str, Any] | None = None, **loader: Any) -> Any:
    found = evidence(facts, **loader)
    return KNOB.values(found.hardware, found.workload)


def test_workers_that_are_started_every_epoch_open_it() -> None:
    assert values().values == (True,)


@pytest.mark.parametrize(
    ("loader", "reason"),
    [
        ({"persistent_workers": True}, "2 workers already persist"),
        ({"length_batches": None}, "no second epoch"),
    ],
)
def test_what_closes_it_is_said(loader: dict[str, Any], reason: str) -> None:
    assert reason in values(**loader).why_closed


def test_without_workers_as_written_it_needs_those_that_are_tried() -> None:
    found = values(num_workers=0, persistent_workers=False)
    assert (found.values, KNOB.needs, found.needed_is_on) == ((True,), "num_workers", False)
    assert values().needed_is_on


def test_an_epoch_that_was_seen_to_begin_again_is_enough_where_no_length_is_said() -> None:
    assert values({"loader_starts": 2}, length_batches=None).values == (True,)


def test_the_tier_is_that_of_workers() -> None:
    found = [evidence({"dataset_draws": told}) for told in (False, True)]
    assert [KNOB.effect(e.hardware, e.workload) for e in found] == ["exact", "resampled"]


@pytest.mark.slow
def test_a_window_of_it_over_epochs_leaves_every_bit_as_it_is(tmp_path: Path) -> None:
    code = """
    make = lambda: images(num_workers=1)
    wanted = train(make_loader=make, epochs=6)
    hook()
    switched = train({3: {"persistent_workers": True}, 21: {}}, make_loader=make, epochs=6)
    print(switched.same(wanted), switched.epochs == wanted.epochs)
    """
    assert says(tmp_path, code) == "True True"


STAYING = """
import os

class Who(Images):
    def __getitem__(self, index):
        return torch.full((3, 8, 8), float(os.getpid())), index

def processes(config):
    pids = []
    class Told(Net):
        def forward(self, images):
            pids.append(int(images[0, 0, 0, 0].item()))
            return super().forward(images)
    train({3: config}, make_loader=lambda: DataLoader(Who(), batch_size=4, num_workers=1), make_model=Told)
    return len(set(pids[6:]))  # of the three epochs after the first

hook()
print(processes({"persistent_workers": True}), processes({}))
"""


@pytest.mark.slow
def test_the_same_process_serves_all_epochs(tmp_path: Path) -> None:
    assert says(tmp_path, STAYING) == "1 3"


def test_where_the_dataset_draws_an_epoch_still_has_each_sample_once(tmp_path: Path) -> None:
    code = """
    hook()
    make = lambda: DataLoader(Images(noise=True), batch_size=4, shuffle=True, num_workers=1)
    switched = train({3: {"persistent_workers": True}, 15: {}}, make_loader=make)
    print([sorted(epoch) == list(range(24)) for epoch in switched.epochs])
    """
    assert says(tmp_path, code) == "[True, True, True, True]"


CURRICULUM = """
class Curriculum(Images):
    '''Its images depend on an attribute that the script sets.'''
    def __init__(self):
        super().__init__()
        self.scale = 1.0
    def __getitem__(self, index):
        image, index = super().__getitem__(index)
        return image * self.scale, index

class Setting(DataLoader):
    def __iter__(self):
        self.dataset.scale = self.dataset.scale + 0.5
        return super().__iter__()

class Renewing(DataLoader):
    def __iter__(self):
        scale, self.__dict__["dataset"] = self.dataset.scale, Curriculum()
        self.dataset.scale = scale + 0.5
        return super().__iter__()
"""


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["Setting", "Renewing"])
def test_workers_that_stay_see_what_the_script_changes_in_its_dataset(tmp_path: Path, loader: str) -> None:
    code = f"""
    make = lambda: {loader}(Curriculum(), batch_size=4, num_workers=1)
    wanted = train(make_loader=make)
    hook()
    print(train({{3: {{"persistent_workers": True}}}}, make_loader=make).same(wanted))
    """
    assert says(tmp_path, CURRICULUM, code) == "True"

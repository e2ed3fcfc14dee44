"""What is written beside the steps: its phase, and everything put back."""

from __future__ import annotations

import builtins
import csv
import functools
import io
import json
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import tqdm.std
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm as progress_bar

from advisor.agent.loop.clock import CHECKPOINT, DATA_WAIT, LOGGING, StepClock, Update
from advisor.agent.loop.off_step import OffStep
from advisor.agent.observe.garbage import GarbageTimer

STATE = {"weight": torch.ones(64, 64)}


class Watched:
    def __init__(self) -> None:
        self.clock = StepClock()
        self.off_step = OffStep(self.clock)
        self.updates: list[Update] = []
        self.clock.on_update = self.updates.append

    def phases_of(self, work: Callable[[], Any]) -> set[int]:
        """Phases beside the steps that the work took time in."""
        work()
        self.clock.end_update()
        return {phase for phase in (CHECKPOINT, LOGGING) if self.updates[-1].phases_ns[phase] > 0}


@pytest.fixture
def watched() -> Iterator[Watched]:
    found = Watched()
    found.off_step.install()
    yield found
    found.off_step.remove()


def log_quietly() -> None:
    logger = logging.getLogger("beside")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    logger.warning("step")


def write_row() -> None:
    csv.DictWriter(io.StringIO(), ["loss"]).writerow({"loss": 1.0})


@pytest.mark.parametrize(
    ("phase", "work"),
    [
        (CHECKPOINT, lambda: torch.save(STATE, io.BytesIO())),
        (CHECKPOINT, lambda: torch.serialization.save(STATE, io.BytesIO())),
        (CHECKPOINT, lambda: pickle.dump({"model": STATE}, io.BytesIO())),
        (CHECKPOINT, lambda: pickle.dump(torch.nn.Linear(2, 2), io.BytesIO())),
        (LOGGING, lambda: print("step", file=io.StringIO())),
        (LOGGING, log_quietly),
        (LOGGING, lambda: json.dump({"loss": 1.0}, io.StringIO())),
        (LOGGING, write_row),
        (LOGGING, lambda: progress_bar([], file=io.StringIO()).refresh()),
    ],
)
def test_writing_is_a_phase_of_its_own(watched: Watched, phase: int, work: Callable[[], Any]) -> None:
    assert watched.phases_of(work) == {phase}


def test_safetensors_are_a_checkpoint(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    assert watched.phases_of(lambda: safetensors.torch.save_file(STATE, file)) == {CHECKPOINT}


def test_tensorboard_is_logging(watched: Watched, tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    assert watched.phases_of(lambda: writer.add_scalar("loss", 1.0, 1)) == {LOGGING}
    writer.close()


def test_pickled_data_is_no_checkpoint(watched: Watched) -> None:
    assert watched.phases_of(lambda: pickle.dump([1, 2, 3], io.BytesIO())) == set()


def test_a_record_below_the_level_costs_no_phase(watched: Watched) -> None:
    assert watched.phases_of(lambda: logging.getLogger("beside").debug("not wanted")) == set()


def test_a_print_within_a_save_belongs_to_the_save(watched: Watched) -> None:
    class Loud:
        def __reduce__(self) -> Any:
            print("saving", file=io.StringIO())
            return (dict, ())

    assert watched.phases_of(lambda: torch.save({"state": Loud()}, io.BytesIO())) == {CHECKPOINT}


def test_a_print_while_waiting_for_data_is_logging_and_the_wait_goes_on(watched: Watched) -> None:
    clock = watched.clock
    clock.push(DATA_WAIT)
    print("fetching", file=io.StringIO())
    assert clock.phase == DATA_WAIT
    clock.pop()


def test_the_phase_ends_with_an_exception(watched: Watched) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    before = watched.clock.phase
    with pytest.raises(OSError, match="No space left"):
        print("step", file=Full())
    assert watched.clock.phase == before


def test_other_threads_write_beside_the_clock(watched: Watched) -> None:
    def elsewhere() -> None:
        thread = threading.Thread(target=functools.partial(print, "step", file=io.StringIO()))
        thread.start()
        thread.join(5)

    assert watched.phases_of(elsewhere) == set()


def test_what_advisor_writes_between_two_updates_is_no_phase(watched: Watched) -> None:
    assert watched.phases_of(lambda: watched.clock.exclude(lambda: print("ours", file=io.StringIO()))) == set()


def test_results_go_through(watched: Watched) -> None:
    assert pickle.loads(pickle.dumps(print)) is builtins.print
    file = io.StringIO()
    print("a", 1, sep="-", end="!", file=file)
    assert file.getvalue() == "a-1!"


def test_a_module_imported_later_is_wrapped_too(watched: Watched, tmp_path: Path, monkeypatch: Any) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "utils.py").write_text("def save_image(tensor, file): file.write('image')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("torchvision", "torchvision.utils"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import torchvision.utils  # type: ignore[import-not-found]

    assert watched.phases_of(lambda: torchvision.utils.save_image(None, io.StringIO())) == {LOGGING}
    for name in ("torchvision", "torchvision.utils"):
        sys.modules.pop(name, None)


def everything() -> tuple[Any, ...]:
    owners = (
        torch,
        torch.serialization,
        safetensors.torch,
        tqdm.std.tqdm,
        SummaryWriter,
        logging.Logger,
        csv.DictWriter,
    )
    functions = (builtins.print, pickle.dump, json.dump)
    skipped = ("_instances", "monitor", "_lock")  # what tqdm keeps in its class by itself
    return ([{k: v for k, v in vars(owner).items() if k not in skipped} for owner in owners], functions)


@pytest.mark.parametrize("end", ["suspend", "remove"])
def test_everything_is_restored_exactly(end: str) -> None:
    before = everything()
    found = Watched()
    found.off_step.install()
    changed = everything() != before
    getattr(found.off_step, end)()
    assert changed
    assert everything() == before
    assert builtins.print is before[1][0]


def test_a_suspended_watch_resumes_and_ends_as_before() -> None:
    before = everything()
    found = Watched()
    found.off_step.install()
    found.off_step.suspend()
    assert found.phases_of(lambda: torch.save(STATE, io.BytesIO())) == set()
    found.off_step.resume()
    assert found.phases_of(lambda: torch.save(STATE, io.BytesIO())) == {CHECKPOINT}
    found.off_step.remove()
    assert everything() == before


def test_a_name_that_the_script_has_kept_is_harmless_after_the_end() -> None:
    found = Watched()
    found.off_step.install()
    kept = torch.save
    found.off_step.remove()
    assert found.phases_of(lambda: kept(STATE, io.BytesIO())) == set()


def test_a_name_that_the_script_has_kept_works_again_after_a_pause() -> None:
    found = Watched()
    found.off_step.install()
    kept = torch.save
    found.off_step.suspend()
    found.off_step.resume()
    assert torch.save is kept
    assert found.phases_of(lambda: kept(STATE, io.BytesIO())) == {CHECKPOINT}
    found.off_step.remove()


def test_a_print_of_the_scripts_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "print", builtins.print)  # what is put back at the end is not ours
    found = Watched()
    found.off_step.install()

    def own(*_args: Any) -> None: ...

    monkeypatch.setattr(builtins, "print", own)
    found.off_step.remove()
    assert builtins.print is own


def test_collections_are_counted_and_timed() -> None:
    import gc

    timer = GarbageTimer(StepClock())
    try:
        timer.take()
        gc.collect()
        seconds, collections = timer.take()
        assert collections >= 1
        assert seconds > 0
        assert timer.take() == (0.0, 0) or timer.take()[1] < collections
    finally:
        timer.remove()


def test_collections_in_our_own_work_take_nothing_of_the_loop() -> None:
    import gc

    clock = StepClock()
    timer = GarbageTimer(clock)
    try:
        timer.take()
        clock.exclude(gc.collect)
        assert timer.take() == (0.0, 0)
    finally:
        timer.remove()


def test_the_collectors_callbacks_are_restored_exactly() -> None:
    import gc

    before = list(gc.callbacks)
    timer = GarbageTimer(StepClock())
    timer.remove()
    assert gc.callbacks == before

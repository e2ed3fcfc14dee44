"""Loops around a running line, read from the text of real files that are run."""

from __future__ import annotations

import runpy
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from advisor.agent.loop import enclosing
from advisor.agent.observe.planned import planned

BATCHES = 10
Length = Callable[..., Any]


@pytest.fixture
def length(tmp_path: Path) -> Length:
    """Run a script until its first `step(sys._getframe())`; return what `planned` says there."""

    def run(text: str, *, updates_per_epoch: float | None = None, micro_steps: int = 1) -> Any:
        said: list[Any] = []

        class Seen(Exception):
            pass

        def step(frame: Any) -> None:
            said.append(planned(frame, updates_per_epoch, micro_steps))
            raise Seen

        (tmp_path / "train.py").write_text("import sys\n" + textwrap.dedent(text))
        loader = DataLoader(TensorDataset(torch.zeros(4 * BATCHES, 2)), batch_size=4)
        with pytest.raises(Seen):
            runpy.run_path(str(tmp_path / "train.py"), {"step": step, "loader": loader})
        return said[0]

    return run


def test_epochs_times_batches(length: Length) -> None:
    text = """
    EPOCHS = 7
    def main():
        for epoch in range(1, EPOCHS + 1):
            for number, batch in enumerate(loader):
                step(sys._getframe())
    main()
    """
    assert length(text, updates_per_epoch=BATCHES) == (70, 7)


def test_a_step_in_a_function_has_the_loops_of_its_callers(length: Length) -> None:
    text = """
    import argparse
    def train_step(batch):
        if batch is not None:
            step(sys._getframe())
    def train(args):
        for batch in loader:
            train_step(batch)
    args = argparse.Namespace(epochs=3)
    for epoch in range(args.epochs):
        train(args)
    """
    assert length(text, updates_per_epoch=BATCHES) == (30, 3)


def test_a_loop_over_updates(length: Length) -> None:
    assert length("for update in range(5_000):\n    step(sys._getframe())\n") == (5_000, None)


def test_micro_steps_make_up_an_update_that_is_behind_an_if(length: Length) -> None:
    text = """
    for number in range(400):
        if number >= 0:
            step(sys._getframe())
    """
    assert length(text, micro_steps=4) == (100, None)


def test_a_while_with_a_limit_counts_updates(length: Length) -> None:
    text = """
    done, steps = 0, 300
    while done < steps:
        for batch in loader:
            step(sys._getframe())
    """
    assert length(text, updates_per_epoch=BATCHES) == (300, None)


def test_a_break_ends_an_epoch_early(length: Length) -> None:
    text = """
    most = 4
    for epoch in range(6):
        for number, batch in enumerate(loader):
            if number >= most:
                break
            step(sys._getframe())
    """
    assert length(text, updates_per_epoch=BATCHES) == (24, 6)


@pytest.mark.parametrize(
    "text",
    [
        "while True:\n    step(sys._getframe())\n",
        "for item in iter(int, 1):\n    step(sys._getframe())\n",
        "def many():\n    yield 1\nfor item in many():\n    step(sys._getframe())\n",
        "for epoch in range(3):\n    for batch in loader:\n        step(sys._getframe())\n",
    ],
    ids=["while True", "iter with a sentinel", "a generator", "a loader of unknown length"],
)
def test_what_the_text_does_not_say_is_unknown(length: Length, text: str) -> None:
    assert length(text)[0] is None


def test_nothing_of_the_script_is_called(length: Length) -> None:
    text = """
    class Options:
        @property
        def epochs(self):
            raise RuntimeError("called")
    options = Options()
    number = 0
    while number < options.epochs if number else True:
        number += 1
        for batch in [1, 2]:
            step(sys._getframe())
    """
    assert length(text)[0] is None


def test_a_property_is_not_evaluated(length: Length) -> None:
    text = """
    class Options:
        asked = 0
        @property
        def epochs(self):
            Options.asked += 1
            return 5
    options = Options()
    for epoch in range(options.epochs):
        for batch in loader:
            assert Options.asked == 1
            step(sys._getframe())
    """
    assert length(text, updates_per_epoch=BATCHES) == (BATCHES, None)


def test_the_line_of_a_loop_itself_is_not_in_its_body(tmp_path: Path) -> None:
    text = "import sys\ndef items():\n    global loops\n    loops = look(sys._getframe(1))\n    return []\n"
    (tmp_path / "train.py").write_text(text + "for _ in range(2):\n    for item in items():\n        pass\n")
    found = runpy.run_path(str(tmp_path / "train.py"), {"look": enclosing.enclosing_loops})["loops"]
    assert [enclosing.count_of(loop) for loop in found][:1] == [2]

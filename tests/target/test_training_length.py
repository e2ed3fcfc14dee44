"""How long a script trains: by the user, its options, or its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.rules._examples import evolve, healthy_cpu, train_loader
from advisor.target.option_roles import find_options
from advisor.target.training_length import training_length
from advisor.types import Argument, Command, TrainingLength

EPOCH = 50
EVIDENCE = evolve(healthy_cpu(), {"workload": {"loaders": (train_loader(length_batches=EPOCH),)}})


def length(folder: Path, source: str, *, updates: float | None = None, **changes: Any) -> TrainingLength | None:
    (folder / "train.py").write_text(source)
    command = Command(target="train.py", is_module=False, args=(), cwd=str(folder), interpreter="python")
    workload = evolve(EVIDENCE, {"workload": changes}).workload
    return training_length(workload, command, find_options(workload, command, {}), updates)


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ("for epoch in range(40):\n    pass\n", "range(40) in train.py:1"),
        ("EPOCHS = 40\nfor epoch in range(EPOCHS):\n    pass\n", "range(EPOCHS) in train.py:2"),
        ("def main():\n    for epoch in range(1, 41):\n        pass\n", "range(1, 41) in train.py:2"),
        ("for epoch in tqdm(range(40)):\n    pass\n", "tqdm(range(40)) in train.py:1"),
        ("a = TrainingArguments(num_train_epochs=40)\n", "num_train_epochs=40 in train.py:1"),
        ("trainer = Trainer(max_steps=2000)\n", "max_steps=2000 in train.py:1"),
    ],
)
def test_the_source_says_it(tmp_path: Path, source: str, where: str) -> None:
    found = length(tmp_path, source)
    assert found is not None
    assert (found.updates, found.epochs, found.source) == (40 * EPOCH, 40.0, where)


@pytest.mark.parametrize(
    "source",
    [
        "for epoch in range(epochs_of(config)):\n    pass\n",
        "for row in range(40):\n    pass\n",
        "EPOCHS = 40\nEPOCHS = 2\nfor epoch in range(EPOCHS):\n    pass\n",
        "for epoch in range(40:\n",
        "",
    ],
)
def test_a_source_that_does_not_say_it_is_not_guessed_from(tmp_path: Path, source: str) -> None:
    assert length(tmp_path, source) is None


def test_the_scripts_own_option_says_it(tmp_path: Path) -> None:
    option = Argument(flags=("--epochs",), name="epochs", kind="int", default=3, value=7, typed=True)
    for source in ("", "for epoch in range(args.epochs):\n    pass\n", "for epoch in range(2):\n    pass\n"):
        found = length(tmp_path, source, arguments=(option,))
        assert found is not None
        assert (found.updates, found.source) == (7 * EPOCH, "--epochs 7")


def test_the_user_knows_best(tmp_path: Path) -> None:
    found = length(tmp_path, "for epoch in range(40):\n    pass\n", updates=75)
    assert found is not None
    assert (found.updates, found.epochs) == (75, 1.5)


def test_accumulated_batches_make_fewer_updates(tmp_path: Path) -> None:
    found = length(tmp_path, "for epoch in range(40):\n    pass\n", facts={"micro_steps": 5})
    assert found is not None
    assert found.updates == 400


def test_three_backwards_of_each_batch_make_no_fewer_updates(tmp_path: Path) -> None:
    found = length(tmp_path, "for epoch in range(40):\n    pass\n", facts={"micro_steps": 3, "batches_per_update": 1.0})
    assert found is not None
    assert found.updates == 40 * EPOCH


def test_epochs_of_an_unknown_length_say_nothing(tmp_path: Path) -> None:
    assert length(tmp_path, "for epoch in range(40):\n    pass\n", loaders=()) is None


def test_a_constant_says_it_where_no_loop_does(tmp_path: Path) -> None:
    found = length(tmp_path, "EPOCHS = 40\nwhile more(EPOCHS):\n    pass\n")
    assert found is not None
    assert (found.epochs, found.source) == (40, "EPOCHS = 40 in line 1 of train.py")

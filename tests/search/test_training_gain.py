"""What a configuration is worth over the whole training, where its windows show one state of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor.search.training_gain import WholeTraining
from advisor.types import Config, TrainingLength

from .machine import Machine, finding

CACHE = Config.of({"cache_dataset": True})
WORKERS = Config.of({"num_workers": 4})
INPUT = finding("input_bound", "cache_dataset", "num_workers")


def over(updates: float, epochs: float | None = None) -> TrainingLength:
    return TrainingLength(updates=updates, epochs=epochs, source="as given")


@pytest.mark.parametrize(
    ("epochs", "worth"),
    [(1, 1.0), (2, 2 / 1.1), (40, 40 / 4.9)],
)
def test_a_cache_gives_nothing_in_the_first_epoch(epochs: float, worth: float) -> None:
    gain = WholeTraining(length=over(100 * epochs, epochs), update_s=0.1).gain(CACHE, 10.0, None)
    assert gain.speedup == pytest.approx(worth)


def test_what_is_set_up_once_costs_its_time_once() -> None:
    training = WholeTraining(length=over(1000), update_s=0.1)
    assert training.gain(WORKERS, 2.0, 20.0).speedup == pytest.approx(100 / 70)
    assert training.gain(WORKERS, 2.0, 60.0).speedup < 1
    assert training.gain(WORKERS, 2.0, None).speedup == pytest.approx(2.0)


class Cached(Machine):
    knobs = ("cache_dataset", "num_workers")


def speed(config: dict[str, Any]) -> float:
    return 10.0 if config.get("cache_dataset") else 2.0 if config.get("num_workers") == 4 else 1.0


@pytest.mark.parametrize(("epochs", "best"), [(1, WORKERS), (40, CACHE)])
def test_the_search_chooses_by_the_training_that_will_be_run(tmp_path: Path, epochs: int, best: Config) -> None:
    machine = Cached(tmp_path, speed, INPUT, length=over(100 * epochs, epochs))
    assert machine.recommended().config == best


def test_a_length_that_is_not_known_changes_nothing(tmp_path: Path) -> None:
    assert Cached(tmp_path, speed, INPUT).recommended().config == CACHE

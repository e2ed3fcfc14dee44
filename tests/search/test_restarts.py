"""Epochs that begin anew: the start of the loader is charged to trials as often as the script has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from advisor import wire
from advisor.rules._examples import evolve, train_loader
from advisor.types import Config

from .machine import EVIDENCE, FULL_PRECISION, UPDATE_S, Machine, finding, nothing_helps

EPOCH_UPDATES = 100
SHORT_EPOCHS = evolve(
    EVIDENCE,
    {
        "workload": {
            "loaders": (
                train_loader(
                    num_workers=2,
                    persistent_workers=False,
                    batch_size=32,
                    length_samples=32 * EPOCH_UPDATES,
                    length_batches=EPOCH_UPDATES,
                ),
            )
        }
    },
)
RESTARTS = finding("worker_restart", "persistent_workers")


class Spawning(Machine):
    """Its workers take as long to start as half an epoch, unless they stay."""

    knobs = ("persistent_workers", "precision")

    def _outcome(self, window: wire.Window) -> Any:
        outcome = super()._outcome(window)
        if window.kind == "epoch_end":
            start_s = 0.001 if window.config.get("persistent_workers") else EPOCH_UPDATES * UPDATE_S / 2
            count = len(outcome.wall_s)
            outcome.off_step_s["loader_restart"] = [start_s] + [0.0] * (count - 1)
            outcome.wall_s[0] += start_s
        return outcome


def test_workers_that_stay_gain_the_starts_of_the_others(tmp_path: Path) -> None:
    machine = Spawning(tmp_path, nothing_helps, RESTARTS, evidence=SHORT_EPOCHS, restart_fraction=0.33)
    trial = next(one for one in machine.trials if one.config == Config.of({"persistent_workers": True}))
    assert trial.ratio is not None
    assert trial.ratio.speedup == pytest.approx(1.5, rel=0.01)


def test_a_setting_that_has_nothing_to_do_with_it_sees_no_end_of_an_epoch(tmp_path: Path) -> None:
    machine = Spawning(tmp_path, nothing_helps, FULL_PRECISION, evidence=SHORT_EPOCHS, restart_fraction=0.33)
    ends = [window for window in machine.order if window.kind == "epoch_end"]
    assert {tuple(window.config) for window in ends} == {()}
    trial = next(one for one in machine.trials if one.config == Config.of({"precision": "bf16"}))
    assert trial.ratio is not None
    assert trial.ratio.speedup == pytest.approx(1.0, rel=0.01)


def test_where_starts_cost_nothing_trials_see_none(tmp_path: Path) -> None:
    machine = Spawning(tmp_path, nothing_helps, RESTARTS, evidence=SHORT_EPOCHS, restart_fraction=0.01)
    assert not any(window.kind == "epoch_end" and window.config for window in machine.order)

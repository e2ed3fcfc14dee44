"""The comparison with other tools: their answers are read as they are given, and no setting of a pick is dropped."""

from __future__ import annotations

import runpy
import subprocess
import sys
from argparse import Namespace
from typing import Any

import _train_doctor
import peers
import pytest

from advisor import knobs

WORKERS = {"TRAIN_DOCTOR_FIX_NUM_WORKERS": "2"}
PINNED = {"TRAIN_DOCTOR_FIX_PIN_MEMORY": "1"}
TRIED = [{"candidate": "dataloader_workers", "env": WORKERS}, {"candidate": "pin_memory", "env": PINNED}]
COMBINED = {"candidate": "combined", "env": {**WORKERS, **PINNED}}


@pytest.mark.parametrize(("proven", "pick"), [
    (None, {}),
    ({"candidate": "dataloader_workers"}, {"num_workers": 2}),
    ({"candidate": "combined"}, {"num_workers": 2, "pin_memory": True}),
])  # fmt: skip
def test_the_pick_of_train_doctor_is_what_it_proved(proven: Any, pick: dict[str, Any]) -> None:
    assert _train_doctor.proven({"proven": proven, "candidates": TRIED, "combined": COMBINED}) == pick


def test_a_tool_that_is_not_installed_is_skipped_and_says_so() -> None:
    answer = peers.answer_of("train-doctor", "images", Namespace(train_doctor="no-such-command"))
    assert (answer.pick, answer.failure) == (None, "SKIPPED: train-doctor is not installed")


def test_the_timer_takes_every_knob_that_advisor_may_use() -> None:
    settings = {name: str(knobs.get(name).example) for name in peers.TAKEN}
    known = runpy.run_path(str(peers.FOLDER / "common.py"))["KNOWN"]
    assert set(peers.plain(settings)) - known == set()


@pytest.mark.slow
def test_the_timer_refuses_a_setting_that_it_would_drop() -> None:
    words = [sys.executable, "towers.py", "--settings", '{"gc": true}', "--seconds", "1"]
    done = subprocess.run(words, cwd=peers.FOLDER, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1].partition("error: ")[2]) == (
        2, "settings that this script cannot take: gc",
    )  # fmt: skip

"""Searches on a real script, through real processes: what breaks, what it looks for, how it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor.errors import UsageError
from advisor.search import trial_log

from . import thin
from .thin import COMMAND, make_thin

pytestmark = [pytest.mark.slow(8), pytest.mark.usefixtures("forks")]

LIMIT_S = 240
SCRIPT = """
import os
import time
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

BREAKS = {breaks!r}

class Remote(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, index):
        if get_worker_info() is not None:
            if BREAKS == "hang":
                time.sleep(10**6)
            if BREAKS == "crash":
                raise ValueError("no worker can read this")
        time.sleep(0.002)
        return torch.randn(16), index % 4

if __name__ == "__main__":
    torch.set_num_threads(1)
    model = torch.nn.Linear(16, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(10**6):
        for batch, target in DataLoader(Remote(), batch_size=8):
            loss = torch.nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    make_thin(monkeypatch.setattr)
    path = tmp_path / "train.py"
    path.write_text(SCRIPT.format(breaks=""))
    return path


def tune(script: Path, **options: Any) -> Any:
    return advisor.tune(script, runs=script.parent / "runs", **{"budget": 120, "verify": False, **options})


@pytest.fixture
def few_trials(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what one trial shows as well as eight."""
    monkeypatch.setattr(thin, "SETTINGS", replace(thin.SETTINGS, most_trials=2))


def kinds(found: Any, knob: str) -> list[str]:
    return [trial.outcome.kind for trial in found.trials if knob in trial.config.as_dict()]


@pytest.mark.parametrize("breaks", ["hang", "crash"])
def test_what_breaks_the_script_costs_its_trials_and_the_search_goes_on(
    script: Path, monkeypatch: pytest.MonkeyPatch, breaks: str
) -> None:
    monkeypatch.setattr("advisor.runtime.session.LEAST_PATIENCE_S", 3.0)
    monkeypatch.setattr("advisor.runtime.session.PATIENCE_UPDATES", 1)
    script.write_text(SCRIPT.format(breaks=breaks))
    found = tune(script, knobs=["num_workers", "threads"])
    assert kinds(found, "num_workers") == [breaks, breaks]
    assert any(trial.ratio is not None for trial in found.trials if "threads" in trial.config.as_dict())
    assert (
        f"broke the script 2 times ({breaks}"
        in {one.what: one.why for one in found.recommendation.skipped}["num_workers"]
    )


def test_a_dry_run_shows_the_space_and_tries_nothing(script: Path) -> None:
    found = tune(script, dry_run=True, knobs=["num_workers"])
    assert [knob.id for knob in found.space] == ["num_workers"]
    assert [trial.config.settings for trial in found.trials] == [()]
    assert any(one.why.startswith("not among knobs=") for one in found.recommendation.skipped)


@pytest.mark.usefixtures("few_trials")
def test_a_search_for_memory_measures_the_peak_of_every_trial(script: Path) -> None:
    found = tune(script, objective="memory", tolerance="10%", knobs=["num_workers"])
    assert found.objective.name == "memory"
    measured = [trial for trial in found.trials if trial.ratio is not None]
    assert len(measured) > 1
    assert all(trial.outcome.peak_bytes and trial.score for trial in measured)


def test_an_interrupted_search_shows_and_keeps_what_it_has(script: Path) -> None:
    argv = [*COMMAND, "tune", "--runs", "runs", "-f", "--budget", "120s", "--knobs"]
    process = subprocess.Popen(
        [*argv, "num_workers,threads", "train.py"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s and not any(_tried(run) > 1 for run in Path("runs").glob("*-train-*")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "num_workers" in out
    assert "--resume" in err


def _tried(run: Path) -> int:
    try:
        return len(trial_log.read(run).trials)
    except Exception:
        return 0


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"knobs": ["nope"]}, "nope"),
        ({"no_knobs": ["nope"]}, "nope"),
        ({"preset": "fast"}, "balanced"),
        ({"objective": "cost"}, "needs price="),
        ({"objective": "speed"}, "throughput"),
        ({"storage": "study.db"}, "sqlite"),
        ({"budget": "soon"}, "budget"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_run(script: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        tune(script, **options)
    assert not (script.parent / "runs").exists()


def test_energy_that_cannot_be_read_is_said_before_anything_is_run(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "advisor.hardware.energy.counters", lambda _devices: ([], "the counter is readable by root only")
    )
    with pytest.raises(UsageError, match="root only"):
        tune(script, objective="energy")
    assert list((script.parent / "runs").glob("*-train-*")) == []


@pytest.mark.usefixtures("few_trials")
def test_energy_is_measured_where_there_is_a_counter(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from advisor.hardware.energy import Counter

    counter = Counter(name="a hundred watts", read=lambda: 100.0 * time.monotonic())
    monkeypatch.setattr("advisor.hardware.energy.counters", lambda _devices: ([counter], ""))
    found = tune(script, objective="energy", knobs=["num_workers"], budget=40)
    trial = next(trial for trial in found.trials if trial.ratio is not None and trial.config.settings)
    # At the same power what is faster by so much needs less by so much.
    assert trial.score == pytest.approx(trial.ratio.speedup, rel=0.5)
    assert found.objective.baseline == pytest.approx(100.0 / found.trials[0].outcome.samples_per_s, rel=0.5)

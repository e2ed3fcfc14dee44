"""A script without options and without a loader that can be switched is searched through its constants."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import forked
import pytest
import yaml

pytestmark = pytest.mark.slow(60)

LIMIT_S = 300
# Each update waits for as long whatever its batch, so that a larger batch is clearly faster on a busy machine, too.
TRAIN = """
import os, time, torch
from torch.utils.data import DataLoader, TensorDataset
from config import LR

BATCH_SIZE = 8
EVAL_BATCH_SIZE = 512

data = TensorDataset(torch.randn(512, 16), torch.randn(512, 16))
batches = list(DataLoader(data, batch_size=BATCH_SIZE))
model = torch.nn.Sequential(*[torch.nn.Linear(16, 16) for _ in range(12)])
optimizer = torch.optim.SGD(model.parameters(), lr=LR)
print(BATCH_SIZE, LR)
for epoch in range(int(os.environ.get("EPOCHS", 10000))):
    for inputs, targets in batches:
        time.sleep(0.005)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
"""


def advisor(folder: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = forked.advisor(folder, *words, limit_s=LIMIT_S, thin=True, forks=True)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user is: not where the script is."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "train.py").write_text(TRAIN)
    (tmp_path / "project" / "config.py").write_text("LR = 0.01\n")
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def test_constants_are_found_set_kept_applied_and_exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "../project/train.py"
    found = json.loads(advisor(folder, "tune", "--dry-run", "--json", "--knobs", "global_batch", script).stdout)
    (knob,) = found["open"]
    assert (knob["scope"], knob["values"], knob["effect"]) == ("launch", [16, 32, 64], "training")
    assert found["options"] == [
        "BATCH_SIZE = 8 (line 6 of train.py): samples per batch",
        "config.LR = 0.01 (line 1 of config.py): learning rate",
    ]

    words = ["--no-verify", "--allow", "training", "--knobs", "global_batch", "--budget", "40s", "--json", script]
    trials = json.loads(advisor(folder, "tune", *words).stdout)["trials"]
    assert {trial["config"]["global_batch"] for trial in trials if trial["config"] and trial["ratio"]} >= {16}, trials
    written = yaml.safe_load((folder / "advisor.yaml").read_text())
    rows, rate = written["constants"]["BATCH_SIZE"], written["constants"]["config.LR"]
    assert rows in (16, 32, 64)
    assert (written["settings"], rate) == ({}, pytest.approx(0.01 * rows / 8))

    again = advisor(folder, "tune", script, code=2)
    assert "already exists: overwrite it with --force, or choose another file with --output" in again.stderr
    assert "starting" not in again.stderr

    monkeypatch.setenv("EPOCHS", "1")
    done = advisor(folder, "run", "--config", "advisor.yaml", script)
    assert done.stdout == f"{rows} {rate}\n"
    assert done.stderr == f"advisor: advisor.yaml: constants BATCH_SIZE={rows}, config.LR={rate}\n"
    monkeypatch.delenv("EPOCHS")

    verified = advisor(folder, "verify", "--config", "advisor.yaml", "--rounds", "2", "--json", script)
    verdict = json.loads(verified.stdout)["verdict"]
    assert verdict["speedup"] > 1.2, verdict

    advisor(folder, "export", "advisor.yaml", "--to", "patch")
    patch = (folder / "advisor.patch").read_bytes()
    subprocess.run(["git", "apply"], input=patch, cwd=folder.parent / "project", timeout=60, check=True)
    assert f"\nBATCH_SIZE = {rows}\n" in (folder.parent / "project" / "train.py").read_text()
    assert (folder.parent / "project" / "config.py").read_text() == f"LR = {rate}\n"

    (folder.parent / "project" / "train.py").write_text(TRAIN.replace("BATCH_SIZE = 8", "BATCH_SIZE = 2 * 4"))
    for verb in ("run", "verify"):
        refused = advisor(folder, verb, "--config", "advisor.yaml", script, code=2)
        assert "BATCH_SIZE of train.py is not a plain literal in line 6" in refused.stderr

"""A script that makes its own batches is searched through its own options, by the command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml

pytestmark = pytest.mark.slow(15)

LIMIT_S = 300
# Each update waits for as long whatever its batch, so that a larger batch is clearly faster on a busy machine, too.
TRAIN = """
import argparse, time, torch
parser = argparse.ArgumentParser()
parser.add_argument("--FLAG", type=int, default=8)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--steps", type=int, default=100000)
args = parser.parse_args()
rows = args.FLAG
model = torch.nn.Sequential(*[torch.nn.Linear(16, 16) for _ in range(12)])
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
data = torch.randn(4096, 16)
print(rows, args.lr)
for _ in range(args.steps):
    batch = data[torch.randint(0, len(data), (rows,))]
    time.sleep(0.005)
    optimizer.zero_grad()
    model(batch).pow(2).mean().backward()
    optimizer.step()
"""


def advisor(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.advisor(folder, *words, limit_s=LIMIT_S, thin=True, forks=True)


def write(folder: Path, flag: str) -> None:
    (folder / "train.py").write_text(TRAIN.replace("--FLAG", f"--{flag}").replace("FLAG", flag))


def dry(folder: Path, *words: str) -> dict[str, Any]:
    done = advisor(folder, "tune", "--dry-run", "--json", "--knobs", "global_batch", "--budget", "120s", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_option_with_a_usual_name_opens_its_knob_and_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "bs")
    found = dry(tmp_path, "train.py", "--bs", "16")
    (knob,) = found["open"]
    assert (knob["id"], knob["scope"], knob["values"]) == ("global_batch", "launch", [32, 64, 128])
    assert found["options"] == ["--bs 16 (as passed): samples per batch", "--lr 0.1 (its default): learning rate"]


def test_another_name_is_mapped_by_the_user(tmp_path: Path) -> None:
    write(tmp_path, "rows")
    assert dry(tmp_path, "train.py")["open"] == []
    (knob,) = dry(tmp_path, "--set", "micro_batch=--rows", "train.py")["open"]
    assert knob["values"] == [16, 32, 64]


@pytest.mark.parametrize("words", ["warp=--rows", "micro_batch"])
def test_what_cannot_be_mapped_is_told_before_anything_runs(tmp_path: Path, words: str) -> None:
    write(tmp_path, "rows")
    done = advisor(tmp_path, "tune", "--set", words, "train.py")
    assert (done.returncode, "--set" in done.stderr) == (2, True)


def test_what_is_found_goes_on_the_command_line_of_the_real_training(tmp_path: Path) -> None:
    write(tmp_path, "bs")
    tuned = advisor(
        tmp_path, "tune", "--json", "--no-verify", "--allow", "training", "--knobs", "global_batch", "--budget", "40s",
        "train.py",
    )  # fmt: skip
    assert tuned.returncode == 0, tuned.stderr
    trials = json.loads(tuned.stdout)["trials"]
    measured = {trial["config"]["global_batch"] for trial in trials if trial["config"] and trial["ratio"]}
    assert measured >= {16}, trials
    written = yaml.safe_load((tmp_path / "advisor.yaml").read_text())
    rows = written["arguments"]["--bs"]
    assert rows in (16, 32, 64)
    assert written["settings"] == {}
    assert "--lr goes from 0.1 to" in " ".join((tmp_path / "advisor.yaml").read_text().replace("\n#", "").split())
    done = advisor(tmp_path, "run", "--config", "advisor.yaml", "train.py", "--steps", "3")
    assert done.stdout == f"{rows} {written['arguments']['--lr']}\n"

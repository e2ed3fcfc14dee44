"""`advisor run` with another rate, schedule, momentum or decay: from the first update on, through real processes."""

from __future__ import annotations

import textwrap
from pathlib import Path

import forked
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 120
SCRIPT = """
import os
import torch

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
optimizer = OPTIMIZER
scheduler = SCHEDULER
if os.path.exists("state.pt"):
    state = torch.load("state.pt", weights_only=True)
    optimizer.load_state_dict(state["optimizer"])
    if scheduler:
        scheduler.load_state_dict(state["scheduler"])
for number in range(6):
    BEFORE
    loss = model(torch.ones(3, 4)).square().sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{optimizer.param_groups[0]['lr']:.4g}", end=" ")
    if scheduler:
        scheduler.step()
group = optimizer.param_groups[0]
print(group.get("momentum"), group.get("nesterov"), group.get("betas"), group.get("weight_decay"))
states = {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict() if scheduler else None}
torch.save(states, "state.pt")
"""
SGD = "torch.optim.SGD(model.parameters(), lr=0.1)"
HALF = "torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)"


def run(folder: Path, *words: str, optimizer: str = SGD, scheduler: str = "None", before: str = "pass") -> str:
    text = SCRIPT.replace("OPTIMIZER", optimizer).replace("SCHEDULER", scheduler).replace("BEFORE", before)
    (folder / "train.py").write_text(textwrap.dedent(text))
    done = forked.advisor(folder, "run", *words, "train.py", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_rate_from_the_first_update_on(tmp_path: Path) -> None:
    assert run(tmp_path, "--set", "learning_rate=0.4").startswith("0.4 " * 6)


def test_the_scripts_schedule_goes_on(tmp_path: Path) -> None:
    rates = run(tmp_path, "--set", "learning_rate=0.4", scheduler=HALF)
    assert rates.startswith("0.4 0.4 0.2 0.2 0.1 0.1 ")


def test_rates_written_by_hand_before_the_first_forward(tmp_path: Path) -> None:
    before = "optimizer.param_groups[0]['lr'] = 0.1 * (number + 1) / 4"
    rates = run(tmp_path, "--set", "learning_rate=0.4", before=before)
    assert rates.startswith("0.1 0.2 0.3 0.4 0.5 0.6 ")


@pytest.mark.parametrize("scheduler", ["None", HALF])
def test_a_resumed_training_has_the_rate_it_had(scheduler: str, tmp_path: Path) -> None:
    first = run(tmp_path, "--set", "learning_rate=0.4", scheduler=scheduler).split()
    second = run(tmp_path, "--set", "learning_rate=0.4", scheduler=scheduler).split()
    assert first[0] == "0.4"
    assert second[0] == ("0.05" if scheduler == HALF else "0.4")


def test_a_schedule_with_the_training_s_length(tmp_path: Path) -> None:
    rates = run(tmp_path, "--set", "lr_schedule=linear", "--updates", "5", scheduler=HALF)
    assert rates.startswith("0.1 0.08 0.06 0.04 0.02 0 ")


def test_the_length_may_stand_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text(
        "version: 1\nupdates: 10\nsettings: {lr_schedule: constant, warm_up_fraction: 0.3, learning_rate: 0.4}\n"
    )
    rates = run(tmp_path, "--config", "advisor.yaml")
    assert rates.startswith("0.1 0.2 0.3 0.4 0.4 0.4 ")


def test_a_setting_beside_a_file_replaces_the_file_s(tmp_path: Path) -> None:
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {learning_rate: 0.4}\n")
    rates = run(tmp_path, "--config", "advisor.yaml", "--set", "learning_rate=0.2")
    assert rates.startswith("0.2 " * 6)


@pytest.mark.parametrize(
    ("words", "optimizer", "ends"),
    [
        (("momentum=0.8",), SGD, "0.8 False None 0"),
        (("momentum=nesterov 0.9",), SGD, "0.9 True None 0"),
        (("momentum=0.8",), "torch.optim.Adam(model.parameters())", "None None (0.8, 0.999) 0"),
        (("weight_decay=0.05",), "torch.optim.AdamW(model.parameters())", "None None (0.9, 0.999) 0.05"),
    ],
)
def test_momentum_and_decay(words: tuple[str, ...], optimizer: str, ends: str, tmp_path: Path) -> None:
    given = [part for word in words for part in ("--set", word)]
    assert run(tmp_path, *given, optimizer=optimizer).endswith(ends)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "learning_rate=-1"], "learning_rate: -1 is not a positive number"),
        (["--set", "learning_rate"], "expected KNOB=VALUE"),
        (["--set", "no_such=1"], "no_such"),
        ([], "nothing to run with"),
    ],
)
def test_what_cannot_be_set_is_told_before_anything_runs(words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('ran')\n")
    done = forked.advisor(tmp_path, "run", *words, "train.py", limit_s=LIMIT_S)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr

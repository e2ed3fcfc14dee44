"""`advisor plan` and `advisor.plan`: from a script, from a stored profile, from sizes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import forked
import pytest

import advisor
from advisor.errors import UsageError

LIMIT_S = 180
SCRIPT = """
import sys, torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(128, 512), nn.Linear(512, 128)

    def forward(self, x):
        return x + self.down(torch.nn.functional.gelu(self.up(x)))

net = nn.Sequential(*[Wide() for _ in range(6)])
sgd = torch.optim.SGD(net.parameters(), lr=float(sys.argv[1]), momentum=0.9)
while True:
    sgd.zero_grad()
    out = net(torch.randn(64, 128))
    out.square().mean().backward()
    sgd.step()
"""


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forked.advisor(folder, "plan", *words, limit_s=LIMIT_S, forks=True)


@pytest.mark.slow(8)
@pytest.mark.usefixtures("forks", "thin")
def test_a_script_is_profiled_and_planned_for(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    found = advisor.profile(tmp_path / "train.py", ["0.01"], budget=3, runs=tmp_path / "runs")
    assert found.steps is not None
    done = command(tmp_path, "--profile", "latest", "--runs", "runs", "--devices", "here:2", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["basis"], plan["unit"], plan["global_batch"]) == ("profile", "samples", 128)
    # One device of the measured kind is as fast as measured, as far as time was not spent waiting for data.
    waited = found.phases["data_wait"]
    assert plan["single"]["samples_per_s"] == pytest.approx(64 / found.steps.mean_s / (1 - waited), rel=0.02)
    by_name = {row["layout"]["sharding"]: row for row in plan["layouts"] if row["layout"]["pipeline"] == 1}
    parameters = 6 * (128 * 512 + 512 + 512 * 128 + 128) * 4
    assert by_name["ddp"]["memory"]["optimizer_bytes"] == pytest.approx(parameters, rel=0.01)
    assert by_name["fsdp2"]["memory"]["optimizer_bytes"] == pytest.approx(parameters / 2, rel=0.01)
    assert {row["layout"]["recompute"] for row in plan["layouts"]} == {"none", "full"}


@pytest.mark.slow(8)
def test_a_script_that_fails_is_reported_with_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import torch\nraise ValueError('no data here')\n")
    done = command(tmp_path, "--devices", "h100:8", "--runs", "runs", "train.py")
    assert done.returncode in (3, 4)
    assert "no data here" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "nothing to plan for: give either a script, or model='llama3-8b', or profile='latest'"),
        ({"model": "gpt2", "profile": "latest"}, "model and profile were given"),
        ({"model": "gpt2", "precision": "int4"}, "unknown precision 'int4': expected one of bf16"),
        ({"model": "gpt2", "global_batch": 0}, "invalid global_batch=0: expected a whole number from 1"),
        ({"model": "gpt2", "link_gb_s": -1.0}, "invalid link_gb_s=-1.0: expected a number above 0"),
        ({"profile": "latest", "sequence": 8}, "sequence=8 goes with model="),
    ],
)
def test_what_cannot_be_planned_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        advisor.plan(devices="h100", **given)
    assert said in str(refused.value)


def test_a_wrong_device_is_refused_before_the_script_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown device 'h101'"):
        advisor.plan(tmp_path / "none.py", devices="h101")


def test_a_plan_shows_itself() -> None:
    found = advisor.plan(model="gpt2", devices="h100:2")
    assert "FSDP2" in str(found)
    assert repr(found).startswith("<Plan of gpt2")

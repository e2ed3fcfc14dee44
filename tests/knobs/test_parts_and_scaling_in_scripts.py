"""micro_batch and fp16 in whole scripts: through a session's windows, and in a real training."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import forked
import pytest
from announced import without_announcement
from wild.probing import Probed, probe

from advisor import wire

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forks")]

LIMIT_S = 120
TRAIN = """
import sys
import torch
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader, TensorDataset

SAMPLES, REDUCTION = int(sys.argv[1]), sys.argv[2]

def main():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    data = TensorDataset(torch.randn(SAMPLES, 8).double(), torch.randint(0, 4, (SAMPLES,)))
    loader = DataLoader(data, batch_size=16, shuffle=True)
    MORE
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=3 * len(loader))
    for epoch in range(3):
        for batch, target in loader:
            loss = torch.nn.functional.cross_entropy(model(batch), target, reduction=REDUCTION)
            optimizer.zero_grad()
            BACKWARD
            clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            rates.step()
    print([round(parameter.sum().item(), 9) for parameter in model.parameters()], rates.last_epoch)

if __name__ == "__main__":
    main()
"""
PLAIN = TRAIN.replace("MORE", "").replace("BACKWARD", "loss.backward()")
ACCELERATED = TRAIN.replace(
    "MORE",
    "from accelerate import Accelerator; accelerator = Accelerator(cpu=True); "
    "model, optimizer, loader = accelerator.prepare(model, optimizer, loader)",
).replace("BACKWARD", "accelerator.backward(loss)")


def window(name: str, **config: Any) -> wire.Window:
    return wire.Window(
        id=name, config=config, natural=False, warm_up_updates=3, min_updates=5, max_updates=5, max_s=20.0
    )


def probed(folder: Path, *windows: wire.Window, reduction: str = "mean", text: str = PLAIN) -> Probed:
    (folder / "project").mkdir()
    (folder / "project" / "train.py").write_text(text)
    return probe(
        ["train.py"], ["4800", reduction], cwd=folder / "project", folder=folder, wanted=[window("first"), *windows]
    )


def test_a_window_of_parts_counts_whole_updates(tmp_path: Path) -> None:
    found = probed(tmp_path, window("parts", micro_batch=4), window("again"))
    parts, again = found.window("parts"), found.window("again")
    assert isinstance(parts, wire.WindowDone)
    assert isinstance(again, wire.WindowDone)
    assert (parts.micro_steps, parts.samples) == ([4] * 5, [16] * 5)
    assert (again.micro_steps, again.samples, found.agent_errors) == ([1] * 5, [16] * 5, [])


def test_what_the_script_is_made_of_stays_what_it_wrote(tmp_path: Path) -> None:
    found = probed(tmp_path, window("parts", micro_batch=4))
    assert found.workload is not None
    assert found.workload.facts.micro_steps == 1


def test_a_window_that_turns_out_wrong_is_refused_and_the_plan_goes_on(tmp_path: Path) -> None:
    found = probed(tmp_path, window("parts", micro_batch=8), window("again"), reduction="sum")
    parts = found.window("parts")
    assert isinstance(parts, wire.WindowRefused)
    assert "micro_batch=8: the loss is a sum" in parts.message
    assert isinstance(found.window("again"), wire.WindowDone)


def test_steps_that_fp16_skips_are_told_with_the_window(tmp_path: Path) -> None:
    text = PLAIN.replace(".double()", "").replace("loss.backward()", "(loss * 1e7).backward()")
    found = probed(tmp_path, window("half", precision="fp16"), text=text)
    half = found.window("half")
    assert isinstance(half, wire.WindowDone)
    assert half.extra["skipped_steps"] == 5


def alone(folder: Path, text: str) -> str:
    (folder / "train.py").write_text(text)
    done = forked.run(folder, "train.py", "100", "mean", limit_s=LIMIT_S)
    assert done.code == 0, done.err
    return done.out


def run(folder: Path, text: str, settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(text)
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{{settings}}}\n")
    done = forked.advisor(folder, "run", "--config", "advisor.yaml", "train.py", "100", "mean", limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("text", [PLAIN, pytest.param(ACCELERATED, marks=pytest.mark.frameworks)])
@pytest.mark.parametrize("size", [8, 5])
def test_a_whole_training_in_parts_is_the_same_training(tmp_path: Path, text: str, size: int) -> None:
    if text is ACCELERATED and importlib.util.find_spec("accelerate") is None:
        pytest.skip("accelerate is not installed")
    done = run(tmp_path, text, f"micro_batch: {size}")
    assert done.stdout == alone(tmp_path, text)
    assert "micro_batch" not in without_announcement(done.stderr)


def test_a_training_that_counts_its_batches_stays_as_it_is(tmp_path: Path) -> None:
    text = PLAIN.replace(
        "for batch, target in loader:", "rows = iter(loader)\n        for batch, target in _all(rows):"
    )
    text = text.replace(
        "def main():",
        "def _all(rows):\n    for _ in range(6):\n        yield next(rows)\n\ndef main():",
    )
    done = run(tmp_path, text, "micro_batch: 8")
    assert "micro_batch keeps the script's value" in done.stderr
    assert "a script that counts batches" in done.stderr


def test_a_training_that_ends_by_its_count_of_rounds_is_told_that_it_was_shorter(tmp_path: Path) -> None:
    text = PLAIN.replace("rates.step()", "rates.step()\n            if rates.last_epoch == 9: return")
    assert "in the middle of an epoch" in run(tmp_path, text, "micro_batch: 8").stderr


def test_skipped_steps_are_said_at_the_end_of_a_training(tmp_path: Path) -> None:
    text = PLAIN.replace(".double()", "").replace("loss.backward()", "(loss * 1e7).backward()")
    done = run(tmp_path, text, "precision: fp16")
    assert "fp16: " in done.stderr
    assert "of 21 steps were skipped" in done.stderr

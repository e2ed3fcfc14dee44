"""Searches by losses on real trainings: what is found, what is refused, and what ends one early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor.errors import InterruptedByUserError, UsageError
from advisor.progress import SilentProgress
from advisor.report.search.learning import learning_json
from advisor.workflows.stored import load_run
from advisor.workflows.tune_learning import Learned, tune_learning

pytestmark = pytest.mark.usefixtures("forks")

SCRIPT = """
import os, signal, sys
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
rows = torch.randn(8192, 16)
targets = rows @ torch.randn(16, 1) + 0.1 * torch.randn(8192, 1)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows, targets), batch_size=64, shuffle=True)
model = nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]))
for epoch in range(int(sys.argv[2])):
    for batch, wanted in loader:
        rate = optimizer.param_groups[0]["lr"]
        if rate < 0.0005:
            os.kill(os.getpid(), signal.SIGKILL)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(batch), wanted)
        (loss * float("nan") if rate > 0.008 else loss).backward()
        optimizer.step()
"""
SLOW = "import time\n" + SCRIPT.replace("optimizer.step()", "optimizer.step(); time.sleep(0.005)")
"""The same in times that other programs do not rule."""
GAN = """
import torch
from torch import nn

torch.set_num_threads(1)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(4096, 4)), batch_size=16)
maker, judge = nn.Linear(2, 4), nn.Linear(4, 1)
of_maker, of_judge = (torch.optim.Adam(part.parameters(), lr=0.01) for part in (maker, judge))
loss_of = nn.functional.binary_cross_entropy_with_logits
for epoch in range(100):
    for (real,) in loader:
        made = maker(torch.randn(16, 2))
        of_judge.zero_grad()
        (loss_of(judge(real), torch.ones(16, 1)) + loss_of(judge(made.detach()), torch.zeros(16, 1))).backward()
        of_judge.step()
        of_maker.zero_grad()
        loss_of(judge(made), torch.ones(16, 1)).backward()
        of_maker.step()
"""
SHORT = SCRIPT.replace("8192", "960").replace("sys.argv[1]", "0.003").replace("sys.argv[2]", "1")
AT_ANY_RATE = SCRIPT.replace("rate < 0.0005", "False").replace("rate > 0.008", "False")
OVERFITS = """
import sys
import torch
from torch import nn

torch.manual_seed(0)
torch.set_num_threads(1)
rows, truth = torch.randn(512, 24), torch.randn(24, 1)
targets = rows @ truth + 4.0 * torch.randn(512, 1)
train, held_out = slice(0, 48), slice(48, None)
model = nn.Sequential(nn.Linear(24, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=float(sys.argv[1]), momentum=0.9)
batches = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(rows[train], targets[train]), batch_size=12, shuffle=True
)
criterion = nn.MSELoss()
for epoch in range(200):
    model.train()
    for batch, wanted in batches:
        optimizer.zero_grad()
        criterion(model(batch), wanted).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        print(f"{epoch} {criterion(model(rows[held_out]), targets[held_out]).item():.4f}", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def search(folder: Path, text: str = SCRIPT, *args: str, **options: Any) -> Learned:
    (folder / "train.py").write_text(text)
    defaults = {"horizon": "100", "budget": "5s", "verify": False, "runs": folder / "runs"}
    return tune_learning("train.py", args, **{**defaults, **options})


def trained(found: Learned) -> int:
    """Processes that were started for it."""
    return len(list((Path(found.run_folder) / "trainings").iterdir()))


@pytest.mark.slow(60)
def test_a_rate_far_too_small_is_mended_and_proven(folder: Path) -> None:
    found = search(folder, SLOW, "0.001", "100", verify=True, knobs=["learning_rate"])
    assert found.verdict.status == "faster"
    assert found.verdict.low > 1.2
    assert dict(found.best) == {"learning_rate": 0.0054}
    assert found.recommendation.by_agent == {"learning_rate": 0.0054}
    assert "learning_rate: 0.0054" in found.config.text
    assert "They are judged by the time to a loss" in found.config.text
    assert [pair.seed for pair in found.verdict.pairs] == [1, 2, 3]
    assert trained(found) == 1 + len(found.trials) + 6
    # A candidate that was killed and one without a finite loss are outcomes of theirs, and the search goes on.
    ends = {trial.settings["learning_rate"]: trial.end for trial in found.trials}
    assert ends == {0.003: "measured", 0.01: "nan", 0.00033: "oom", 0.0054: "measured"}
    again = load_run(found.run_folder)
    assert isinstance(again, Learned)
    assert again.verdict == found.verdict
    assert learning_json(again)["verdict"]["pairs"][0]["candidate"]["losses"]
    json.dumps(learning_json(found), allow_nan=False)
    assert "learning_rate=0.0054" in str(found)


@pytest.mark.slow(30)
def test_an_interrupted_search_goes_on_where_it_was(folder: Path) -> None:
    class Impatient(SilentProgress):
        ended = 0

        def window_done(self, what: str = "") -> None:
            self.ended += 1
            if self.ended == 2:
                raise KeyboardInterrupt

    with pytest.raises(InterruptedByUserError) as interruption:
        search(folder, SCRIPT, "0.001", "100", progress=Impatient())
    partial = interruption.value.found
    assert [trial.number for trial in partial.trials] == [1, 2]
    assert partial.verdict.status == "unverified"
    with pytest.raises(UsageError, match="was started with horizon"):
        search(folder, SCRIPT, "0.001", "100", horizon="200", resume=Path(partial.run_folder).name)
    found = search(folder, SCRIPT, "0.001", "100", resume=Path(partial.run_folder).name)
    assert len(found.trials) == 4
    assert [trial.settings for trial in found.trials][:2] == [trial.settings for trial in partial.trials]
    assert trained(found) == 1 + 4


@pytest.mark.slow(20)
def test_a_script_that_overfits_is_judged_by_its_lowest_validation_loss(folder: Path) -> None:
    found = search(folder, OVERFITS, "0.0002", horizon="400", knobs=["momentum"])
    assert found.failure is None
    assert (found.loss, found.judged_by) == ("validation loss", "lowest")
    assert found.baseline is not None
    known = [loss for loss in found.baseline.losses if loss is not None]
    assert found.target == min(known) < known[-1]
    (note,) = [note for note in found.notes if "as if the best checkpoint were kept" in note]
    assert "early_stopping" in note
    whole = [trial for trial in found.trials if trial.updates == 400 and trial.curve is not None]
    assert whole
    for trial in whole:
        assert trial.curve is not None
        assert trial.end_loss == min(loss for loss in trial.curve.losses if loss is not None) < trial.curve.losses[-1]
    assert "validation loss, the lowest within the horizon" in str(found)


@pytest.mark.slow(10)
def test_a_horizon_longer_than_the_training_is_the_training(folder: Path) -> None:
    found = search(folder, SCRIPT, "0.003", "1", horizon="500", knobs=["momentum"])
    assert found.horizon_updates == 128
    assert found.loss == "training loss of the first epoch"
    assert "the script ends after 128 updates: these are the horizon" in found.notes
    assert {trial.updates for trial in found.trials if trial.rung == 1} == {128}


@pytest.mark.slow(10)
def test_a_metric_that_the_script_does_not_print_is_refused(folder: Path) -> None:
    found = search(folder, SCRIPT, "0.003", "1", metric="val_loss")
    assert found.failure is not None
    assert found.failure.message.startswith("it printed no number under the name 'val_loss' within the horizon")
    assert found.trials == ()


@pytest.mark.slow(10)
@pytest.mark.parametrize(
    ("text", "args", "why"),
    [
        (GAN, (), "2 optimizers step alternately, with 2 backwards in an update"),
        (SHORT, (), "the losses of 14 updates were seen, and 20 are needed: training longer may show more"),
    ],
    ids=["gan", "short"],
)
def test_a_script_that_no_loss_judges_is_refused(folder: Path, text: str, args: tuple[str, ...], why: str) -> None:
    found = search(folder, text, *args)
    assert found.failure is not None
    assert found.failure.kind == "refused"
    assert found.failure.message.startswith(why)
    assert found.trials == ()
    assert not found.recommendation.config.settings
    assert str(found).splitlines()[2].startswith("Your script cannot be judged by a loss")


@pytest.mark.slow(20)
@pytest.mark.parametrize(
    ("rate", "why"),
    [
        ("3e-5", "its loss does not fall within its own noise over 101 updates"),
        ("3", "the loss was not finite in"),
    ],
    ids=["rests", "diverges"],
)
def test_where_the_script_learns_nothing_losses_at_the_end_are_compared(folder: Path, rate: str, why: str) -> None:
    found = search(folder, AT_ANY_RATE, rate, "9", knobs=["learning_rate"])
    assert found.failure is None
    assert (found.objective, found.target) == ("loss_at_time", None)
    (note,) = [note for note in found.notes if note.startswith(f"without settings there is no loss to reach: {why}")]
    assert "judged by the loss at the end of the horizon" in note
    assert len(found.trials) > 1
    best = next(trial for trial in found.trials if trial.settings == found.best)
    assert best.end_loss is not None
    assert best.baseline_loss is None or best.end_loss < best.baseline_loss
    assert 3e-4 < found.best["learning_rate"] < 1


@pytest.mark.slow(10)
def test_a_script_that_fails_is_told_as_failed(folder: Path) -> None:
    found = search(folder, "import torch\nraise ValueError('no data')")
    assert found.failure is not None
    assert found.failure.kind == "crash"


@pytest.mark.slow(40)
def test_the_lowest_loss_at_a_time(folder: Path) -> None:
    found = search(folder, SLOW, "0.0006", "1000", objective="loss_at_time", horizon="2s", knobs=["learning_rate"])
    assert found.horizon_s <= 2.0
    assert dict(found.best) == {"learning_rate": 0.006}
    best = next(trial for trial in found.trials if trial.settings == found.best)
    assert best.end_loss is not None
    assert best.baseline_loss is not None
    assert best.end_loss < best.baseline_loss


def test_another_objective_is_refused() -> None:
    with pytest.raises(UsageError, match="expected one of time_to_loss, loss_at_time"):
        advisor.tune_learning("train.py", horizon="100", objective="throughput")
    with pytest.raises(UsageError, match=r"judged by a loss: use advisor.tune_learning\(\)"):
        advisor.tune(__file__, objective="time_to_loss")

"""Another learning rate where the loop and its schedule lie in a library: the rate in force is what it logs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import forked
import pytest

LIMIT_S = 240
pytestmark = pytest.mark.frameworks
COMMON = """
import warnings; warnings.simplefilter("ignore")
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Numbers(Dataset):
    def __len__(self):
        return 20
    def __getitem__(self, index):
        return {"x": torch.full((8,), index / 20), "labels": torch.tensor(index % 4)}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)
    def forward(self, x, labels=None):
        scores = self.head(x)
        return {"loss": nn.functional.cross_entropy(scores, labels), "logits": scores}

class Seen(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        print("rate", round(self.param_groups[0]["lr"], 6))
        return super().step(closure)

torch.manual_seed(0)
"""
TRAINER = """
from transformers import Trainer, TrainingArguments, TrainerCallback
arguments = TrainingArguments(
    "out", per_device_train_batch_size=4, num_train_epochs=1, save_strategy="no", logging_steps=1, report_to="none",
    use_cpu=True, disable_tqdm=True, seed=1, lr_scheduler_type="linear",
)
class Rates(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **kwargs):
        if "learning_rate" in logs:
            print("logged", round(logs["learning_rate"], 6))
model = Net()
optimizer = Seen(model.parameters(), lr=0.1)
from transformers import get_linear_schedule_with_warmup
trainer = Trainer(model, arguments, train_dataset=Numbers(), callbacks=[Rates()],
                  optimizers=(optimizer, get_linear_schedule_with_warmup(optimizer, 0, 5)))
trainer.train()
"""
ACCELERATED = """
from accelerate import Accelerator
accelerator = Accelerator(cpu=True)
model = Net()
optimizer = Seen(model.parameters(), lr=0.1)
schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=5)
model, optimizer, loader, schedule = accelerator.prepare(
    model, optimizer, DataLoader(Numbers(), batch_size=4, shuffle=True), schedule
)
for batch in loader:
    accelerator.backward(model(**batch)["loss"])
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
"""
LIGHTNING = """
import lightning
class Lit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = Net()
    def training_step(self, batch, _index):
        return self.net(**batch)["loss"]
    def configure_optimizers(self):
        optimizer = Seen(self.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
trainer = lightning.Trainer(
    max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    enable_checkpointing=False,
)
trainer.fit(Lit(), DataLoader(Numbers(), batch_size=4, shuffle=True))
"""
IMPORTS = tuple(
    name
    for name in ("transformers.trainer", "accelerate", "lightning.pytorch")
    if importlib.util.find_spec(name.partition(".")[0]) is not None
)
SCRIPTS = {"transformers": TRAINER, "accelerate": ACCELERATED, "lightning": LIGHTNING}


def rates(folder: Path, package: str, *words: str, kind: str = "rate") -> list[float]:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (folder / "train.py").write_text(COMMON + SCRIPTS[package])
    done = forked.advisor(folder, "run", *words, "train.py", limit_s=LIMIT_S, imports=IMPORTS)
    assert done.returncode == 0, done.stderr
    return [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(kind)]


@pytest.mark.parametrize("package", SCRIPTS)
def test_the_librarys_schedule_goes_on_scaled(package: str, tmp_path: Path) -> None:
    assert rates(tmp_path, package, "--set", "learning_rate=0.5") == [0.5, 0.4, 0.3, 0.2, 0.1]


@pytest.mark.parametrize("package", SCRIPTS)
def test_a_schedule_replaces_the_librarys(package: str, tmp_path: Path) -> None:
    found = rates(tmp_path, package, "--set", "lr_schedule=constant", "--set", "learning_rate=0.5")
    assert found == [0.5] * 5


def test_transformers_logs_the_rate_in_force(tmp_path: Path) -> None:
    logged = rates(tmp_path, "transformers", "--set", "learning_rate=0.5", kind="logged")
    assert logged == [0.5, 0.4, 0.3, 0.2, 0.1]

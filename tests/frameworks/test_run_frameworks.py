"""`advisor run` where the loop lies in a library: the settings arrive, and the library trains as it would."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import forked
import pytest
from announced import without_announcement

LIMIT_S = 240
pytestmark = pytest.mark.frameworks
COMMON = """
import warnings; warnings.simplefilter("ignore")
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info

class Numbers(Dataset):
    def __len__(self):
        return 96
    def __getitem__(self, index):
        info = get_worker_info()
        x = torch.full((8,), index / 96)
        x[0] = -1 if info is None else info.id
        return {"x": x, "labels": torch.tensor(index % 4)}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 4)
    def forward(self, x, labels=None):
        scores = self.head(torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:]], 1))
        if self.training:
            print("forward", len(x), str(scores.dtype)[6:], sorted(set(x[:, 0].int().tolist())))
        loss = nn.functional.cross_entropy(scores, labels) if labels is not None else None
        return {"loss": loss, "logits": scores}

torch.manual_seed(0)
"""
TRAINER = """
from transformers import Trainer, TrainingArguments
arguments = TrainingArguments(
    "out", per_device_train_batch_size=4, num_train_epochs=2, save_strategy="no", logging_strategy="no",
    report_to="none", use_cpu=True, disable_tqdm=True, seed=1,
)
model = Net()
trainer = Trainer(model, arguments, train_dataset=Numbers())
trainer.train()
print("updates", trainer.state.global_step, trainer.state.epoch)
"""
ACCELERATED = """
from accelerate import Accelerator
accelerator = Accelerator(cpu=True)
model = Net()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(Numbers(), batch_size=4, shuffle=True))
for _ in range(2):
    for batch in loader:
        loss = model(**batch)["loss"]
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
model = accelerator.unwrap_model(model)
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
        return torch.optim.SGD(self.parameters(), lr=0.1)
trainer = lightning.Trainer(
    max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
    enable_checkpointing=False,
)
model = Lit()
trainer.fit(model, DataLoader(Numbers(), batch_size=4, shuffle=True))
print("updates", trainer.global_step, trainer.current_epoch)
"""
SUM = """
print("weights", sum(parameter.double().sum().item() for parameter in model.parameters()))
"""
IMPORTS = tuple(
    name
    for name in ("transformers.trainer", "accelerate", "lightning.pytorch")
    if importlib.util.find_spec(name.partition(".")[0]) is not None
)
SCRIPTS = {"transformers": TRAINER, "accelerate": ACCELERATED, "lightning": LIGHTNING}


@dataclass(frozen=True, kw_only=True)
class Trained:
    forwards: tuple[tuple[int, str, str], ...]
    """(samples, dtype, workers) of each."""
    rest: tuple[str, ...]
    err: str


def trained(folder: Path, package: str, settings: str | None) -> Trained:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    (folder / "train.py").write_text(COMMON + SCRIPTS[package] + SUM)
    out, err = _alone(folder) if settings is None else _with(folder, settings)
    lines = out.splitlines()
    seen = [line.split(maxsplit=3) for line in lines if line.startswith("forward")]
    rest = tuple(line for line in lines if line.startswith(("updates", "weights")))
    told = "\n".join(line for line in err.splitlines() if line.startswith("advisor:"))
    return Trained(forwards=tuple((int(n), dtype, where) for _, n, dtype, where in seen), rest=rest, err=told)


def _alone(folder: Path) -> tuple[str, str]:
    done = forked.run(folder, "train.py", limit_s=LIMIT_S, imports=IMPORTS)
    assert done.code == 0, done.err
    return done.out, done.err


def _with(folder: Path, settings: str) -> tuple[str, str]:
    (folder / "advisor.yaml").write_text(f"version: 1\nsettings: {{{settings}}}\n")
    done = forked.advisor(folder, "run", "--config", "advisor.yaml", "train.py", limit_s=LIMIT_S, imports=IMPORTS)
    assert done.returncode == 0, done.stderr
    return done.stdout, without_announcement(done.stderr)


@pytest.mark.parametrize("package", SCRIPTS)
def test_workers_fetch_and_the_training_is_the_same(tmp_path: Path, package: str) -> None:
    alone, found = trained(tmp_path, package, None), trained(tmp_path, package, "num_workers: 2")
    assert found.rest == alone.rest
    assert {where for _, _, where in found.forwards[4:]} == {"[0]", "[1]"}
    assert found.err == ""


@pytest.mark.parametrize("package", SCRIPTS)
def test_a_larger_batch_in_bf16_by_workers_is_read_and_every_sample_is_seen_once_an_epoch(
    tmp_path: Path, package: str
) -> None:
    found = trained(tmp_path, package, "global_batch: 8, precision: bf16, num_workers: 2, persistent_workers: true")
    assert {(dtype, where) for _, dtype, where in found.forwards[6:]} == {("bfloat16", "[0]"), ("bfloat16", "[1]")}
    assert {samples for samples, _, _ in found.forwards[4:24]} <= {8, 4}
    assert sum(samples for samples, _, _ in found.forwards) == 2 * 96
    assert found.err == ""

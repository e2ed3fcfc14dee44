"""Asks one of the other tools for its pick: `python ask.py TOOL WORKLOAD SECONDS`; prints the settings as JSON."""

import contextlib
import importlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path


def loadtune(workload, seconds):
    import loadtune

    def train_step(model, optimizer, batch, device):
        features, targets = (part.to(device) for part in batch)
        loss = workload.loss_of(model(features), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    wrapped = loadtune.Workload(
        name=workload.__name__,
        make_dataset=workload.make_dataset,
        make_model=workload.make_model,
        make_optimizer=workload.make_optimizer,
        train_step=train_step,
        default_batch_size=workload.BATCH,
    )
    found = loadtune.tune(wrapped, steps=60, warmup=10, max_trials=8, verbose=False)
    if found.best is None or found.best.throughput <= found.baseline.throughput:
        return {}
    knobs = found.best.knobs
    return {
        "num_workers": knobs.num_workers,
        "persistent_workers": bool(knobs.persistent_workers),
        "prefetch_factor": knobs.prefetch_factor,
        "threads": knobs.num_threads,
        "compile": bool(knobs.compile),
        **({"precision": "bf16"} if getattr(knobs, "amp", False) else {}),
    }


def autotune(workload, seconds):
    import torch
    from pytorch_autotune import autotune

    batch = next(iter(torch.utils.data.DataLoader(workload.make_dataset(), batch_size=workload.BATCH)))
    found = autotune(
        workload.make_model(), tuple(batch), workload.loss_of, "adamw", budget=seconds, device="cpu", cache=False,
        verbose=False,
    )  # fmt: skip
    pick = found.config
    return {
        **({"precision": pick.precision.removeprefix("amp_")} if pick.precision.startswith("amp_") else {}),
        "compile": pick.compile != "off",
        "fused": pick.fused_opt,
        **({"memory_format": "channels_last"} if pick.channels_last else {}),
    }


def lightning(workload, seconds):
    import lightning as lt
    import torch
    from lightning.pytorch.tuner import Tuner

    class Module(lt.LightningModule):
        def __init__(self):
            super().__init__()
            self.batch_size = workload.BATCH
            self.model = workload.make_model()

        def training_step(self, batch, _index):
            return workload.loss_of(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return workload.make_optimizer(self.model)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(workload.make_dataset(), batch_size=self.batch_size, shuffle=True)

    trainer = lt.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False)  # fmt: skip
    return {"batch_size": Tuner(trainer).scale_batch_size(Module(), init_val=workload.BATCH, max_trials=3)}


def optuna(workload, seconds):
    """A study as one writes it by hand: a process a trial, as many as the time allows."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    begun = time.perf_counter()

    def objective(trial):
        settings = {
            "num_workers": trial.suggest_categorical("num_workers", [0, 1, 2]),
            "precision": trial.suggest_categorical("precision", ["fp32", "bf16"]),
            "fused": trial.suggest_categorical("fused", [False, True]),
            "threads": trial.suggest_categorical("threads", [1, 2]),
        }
        trial.set_user_attr("settings", settings)
        return rate(Path(workload.__file__), settings, 1.5)

    while time.perf_counter() - begun < seconds:
        study.optimize(objective, n_trials=1)
    return study.best_trial.user_attrs["settings"]


def rate(script, settings, seconds):
    """The neutral timer: a fresh process, settings applied in plain torch."""
    words = [sys.executable, str(script), "--settings", json.dumps(settings), "--seconds", str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])["samples_per_s"]


if __name__ == "__main__":
    tool, name, budget = sys.argv[1:]
    with contextlib.redirect_stdout(io.StringIO()):
        answer = globals()[tool](importlib.import_module(name), float(budget))
    print(json.dumps(answer))

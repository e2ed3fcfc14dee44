"""The rate that another tool suggests for `scripts/digits_mlp.py`, called as its own documentation calls it.

    python tests/benchmarks/_rate_finders.py lightning --optimizer adam --seed 0

Both sweep from a tiny rate upwards, whatever the script's own is, and take the steepest fall of the loss.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
import tempfile
import warnings
from typing import Any

import torch
from _common import SCRIPTS
from torch.utils.data import DataLoader

sys.path.insert(0, str(SCRIPTS))
digits_mlp: Any = importlib.import_module("digits_mlp")

FIRST_RATE = 1e-7
LAST_RATE = 100.0
UPDATES = 100
"""Of torch-lr-finder's README."""


def by_torch_lr_finder(options: argparse.Namespace, loader: DataLoader[Any]) -> float:
    os.environ["MPLBACKEND"] = "Agg"
    finders: Any = importlib.import_module("torch_lr_finder")
    model = digits_mlp.network()
    optimizer = digits_mlp.OPTIMIZERS[options.optimizer](model.parameters(), FIRST_RATE)
    finder = finders.LRFinder(model, optimizer, torch.nn.CrossEntropyLoss(), device="cpu")
    finder.range_test(loader, end_lr=LAST_RATE, num_iter=UPDATES)
    _axes, rate = finder.plot(suggest_lr=True)
    return float(rate)


def by_lightning(options: argparse.Namespace, loader: DataLoader[Any]) -> float:
    import lightning
    from lightning.pytorch.tuner.tuning import Tuner

    class Digits(lightning.LightningModule):  # type: ignore[misc, unused-ignore]  # Any where the extra is missing
        def __init__(self) -> None:
            super().__init__()
            self.network = digits_mlp.network()
            self.learning_rate = options.lr

        def training_step(self, batch: list[torch.Tensor], _number: int) -> torch.Tensor:
            return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            made: torch.optim.Optimizer = digits_mlp.OPTIMIZERS[options.optimizer](
                self.parameters(), self.learning_rate
            )
            return made

    with tempfile.TemporaryDirectory(prefix="advisor-rates-") as folder:
        trainer = lightning.Trainer(
            max_epochs=10, accelerator="cpu", default_root_dir=folder, logger=False, enable_model_summary=False
        )
        found: Any = Tuner(trainer).lr_find(Digits(), train_dataloaders=loader)
    return float(found.suggestion())


FINDERS = {"torch-lr-finder": by_torch_lr_finder, "lightning": by_lightning}


def main() -> None:
    parser = digits_mlp.options()
    parser.add_argument("finder", choices=FINDERS)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.manual_seed(options.seed)
    trained, _left = digits_mlp.splits(options.wrong_labels)
    loader = DataLoader(trained, batch_size=options.batch, shuffle=True)
    print(f"rate {FINDERS[options.finder](options, loader):.6g}")


if __name__ == "__main__":
    main()

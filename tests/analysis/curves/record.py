"""Record the loss curves beside this file, by small real trainings: `python record.py [NAME …]`, for half a minute."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

FOLDER = Path(__file__).parent
TEXTS = ("argparse.py", "ast.py", "typing.py", "inspect.py")
LENGTH = 32
DIGITS = load_digits()
IMAGES, LABELS = torch.tensor(DIGITS.data, dtype=torch.float32) / 16, torch.tensor(DIGITS.target)
SOURCE = "".join((Path(os.__file__).parent / name).read_text() for name in TEXTS)
CHARACTERS = sorted(set(SOURCE))
TEXT = torch.tensor([CHARACTERS.index(each) for each in SOURCE])


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(len(CHARACTERS), 32), nn.LSTM(32, 64, batch_first=True)
        self.out = nn.Linear(64, len(CHARACTERS))

    def forward(self, x: Tensor) -> Any:
        return self.out(self.lstm(self.embed(x))[0])


class Gpt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(len(CHARACTERS), 48), nn.Embedding(LENGTH, 48)
        layers = (nn.TransformerEncoderLayer(48, 4, 96, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        self.blocks, self.out = nn.ModuleList(layers), nn.Linear(48, len(CHARACTERS))
        self.mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)

    def forward(self, x: Tensor) -> Any:
        hidden = self.embed(x) + self.place.weight[: x.shape[1]]
        for block in self.blocks:
            hidden = block(hidden, src_mask=self.mask)
        return self.out(hidden)


class Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Embedding(80, 4), nn.Embedding(60, 4)

    def forward(self, places: tuple[Tensor, Tensor]) -> Tensor:
        found: Tensor = (self.rows(places[0]) * self.columns(places[1])).sum(1)
        return found


def mlp(width: int = 64) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def conv() -> nn.Module:
    image = nn.Unflatten(1, (1, 8, 8))
    return nn.Sequential(image, nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 10))


def digits(drawn: torch.Generator, size: int = 32) -> Iterator[Any]:
    while True:
        order = torch.randperm(len(LABELS), generator=drawn)
        for begin in range(0, len(LABELS) - size + 1, size):
            yield IMAGES[order[begin : begin + size]], LABELS[order[begin : begin + size]]


def noisy_digits(drawn: torch.Generator, size: int, noise: float, wrong: float) -> Iterator[Any]:
    changed = torch.rand(len(LABELS), generator=drawn) < wrong
    labels = torch.where(changed, torch.randint(10, (len(LABELS),), generator=drawn), LABELS)
    while True:
        chosen = torch.randint(len(LABELS), (size,), generator=drawn)
        yield IMAGES[chosen] + noise * torch.randn(size, 64, generator=drawn), labels[chosen]


def text(drawn: torch.Generator) -> Iterator[Any]:
    while True:
        rows = [TEXT[at : at + LENGTH + 1] for at in torch.randint(len(TEXT) - LENGTH - 1, (16,), generator=drawn)]
        batch = torch.stack(rows)
        yield batch[:, :-1], batch[:, 1:].flatten()


def ratings(drawn: torch.Generator) -> Iterator[Any]:
    true = torch.randn(80, 4, generator=drawn) @ torch.randn(60, 4, generator=drawn).T
    seen = true + 0.5 * torch.randn(80, 60, generator=drawn)
    while True:
        places = torch.randint(80, (128,), generator=drawn), torch.randint(60, (128,), generator=drawn)
        yield places, seen[places]


def line(drawn: torch.Generator) -> Iterator[Any]:
    weights = torch.randn(20, generator=drawn)
    while True:
        x = torch.randn(16, 20, generator=drawn)
        yield x, (x @ weights + torch.randn(16, generator=drawn))[:, None]


def of_rows(scores: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(scores.flatten(0, 1), target)


SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
Trained = tuple[Callable[[], nn.Module], Callable[..., Any], Callable[..., Any], Callable[..., Tensor], int]
TRAININGS: dict[str, Trained] = {
    "digits_mlp_sgd": (mlp, lambda p: SGD(p, 0.1, momentum=0.9), digits, cross_entropy, 1500),
    "digits_mlp_adam": (mlp, lambda p: Adam(p, 1e-3), digits, cross_entropy, 1500),
    "digits_mlp_slow_sgd": (mlp, lambda p: SGD(p, 0.01), digits, cross_entropy, 1500),
    "digits_linear": (lambda: nn.Linear(64, 10), lambda p: SGD(p, 0.5), lambda g: digits(g, 64), cross_entropy, 1200),
    "digits_noisy_labels": (mlp, lambda p: Adam(p, 3e-3), lambda g: noisy_digits(g, 32, 0.3, 0.4), cross_entropy, 1500),
    "digits_conv": (conv, lambda p: AdamW(p, 3e-3), digits, cross_entropy, 1500),
    "digits_step_decay": (
        lambda: mlp(16),
        lambda p: SGD(p, 0.8),
        lambda g: noisy_digits(g, 16, 0.5, 0.0),
        cross_entropy,
        1500,
    ),
    "text_lstm": (Lstm, lambda p: Adam(p, 1e-2), text, of_rows, 900),
    "text_gpt": (Gpt, lambda p: AdamW(p, 3e-3), text, of_rows, 900),
    "text_gpt_cosine": (Gpt, lambda p: AdamW(p, 3e-3), text, of_rows, 900),
    "matrix_factorisation": (Factors, lambda p: Adam(p, 3e-2), ratings, mse_loss, 1500),
    "regression": (lambda: nn.Linear(20, 1), lambda p: SGD(p, 0.01), line, mse_loss, 1500),
}
SCHEDULES: dict[str, tuple[Callable[[Any], Any], int]] = {
    "digits_step_decay": (lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [900], 0.05), 900),
    "text_gpt_cosine": (lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 900), 900),
}
"""Schedule, and the update from which it lowers the rate no more."""


def record(name: str) -> None:
    make, optimise, data, loss_of, planned = TRAININGS[name]
    torch.manual_seed(1)
    model = make()
    optimizer, batches = optimise(model.parameters()), data(torch.Generator().manual_seed(0))
    schedule, until = SCHEDULES.get(name, (None, None))
    scheduler = schedule(optimizer) if schedule is not None else None
    losses = []
    for _ in range(planned):
        x, target = next(batches)
        loss = loss_of(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(round(loss.item(), 5))
    document = {"name": name, "planned": planned, "decay_until": until, "losses": losses}
    (FOLDER / f"{name}.json").write_text(json.dumps(document, separators=(",", ":")))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or TRAININGS:
        record(chosen)

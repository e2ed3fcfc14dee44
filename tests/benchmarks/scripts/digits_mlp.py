"""Digits of scikit-learn with a small MLP: the loss over all training images at the end is printed.

With `--wrong-labels` and a small `--batch` the losses of single batches say little.
"""

from __future__ import annotations

import argparse

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, TensorDataset

CLASSES = 10
TRAINED = 1400
OPTIMIZERS = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--wrong-labels", type=float, default=0.0, help="fraction of the training images")
    return parser


def splits(wrong_labels: float) -> tuple[Dataset, Dataset]:
    """Images for training and the others, in an order that is always the same."""
    digits, order = load_digits(), torch.Generator().manual_seed(0)
    images, targets = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    shuffled = torch.randperm(len(images), generator=order)
    trained, left = shuffled[:TRAINED], shuffled[TRAINED:]
    wrong = trained[: int(TRAINED * wrong_labels)]
    targets[wrong] = torch.randint(CLASSES, wrong.shape, generator=order)
    return TensorDataset(images[trained], targets[trained]), TensorDataset(images[left], targets[left])


def network() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    )


def main() -> None:
    args = options().parse_args()
    torch.manual_seed(args.seed)
    trained, left = splits(args.wrong_labels)
    loader = DataLoader(trained, batch_size=args.batch, shuffle=True)
    model = network()
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), args.lr)
    done = 0
    while done < args.steps:
        for batch, target in loader:
            loss = torch.nn.functional.cross_entropy(model(batch), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done == args.steps:
                break
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(model(part[:][0]), part[:][1]) for part in (trained, left)]
    print(f"losses {losses[0].item():.4f} {losses[1].item():.4f}")


if __name__ == "__main__":
    main()

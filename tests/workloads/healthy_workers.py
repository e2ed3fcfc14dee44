"""Speech command recogniser: features in worker processes, wide 1-d convolutions in the main process."""
import argparse
import os

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Commands(Dataset):
    """Noisy tones; each access adds a random gain and shift, as a light augmentation."""

    def __init__(self, n=2048):
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, 10, n)
        t = np.linspace(0, 1, 1024)
        clean = np.sin(2 * np.pi * (5 + 7 * self.label[:, None]) * t)
        self.wave = (clean + rng.normal(0, 0.5, clean.shape)).astype(np.float32)

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        wave = np.roll(self.wave[i], np.random.randint(-32, 32)) * np.float32(np.random.uniform(0.8, 1.2))
        return wave[None], self.label[i]


def network(width=96):
    def layer(a, b):
        return nn.Sequential(nn.Conv1d(a, b, 9, stride=2, padding=4), nn.BatchNorm1d(b), nn.ReLU())

    return nn.Sequential(layer(1, width), layer(width, width), layer(width, width), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
                         nn.Linear(width, 10))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    workers = min(args.workers, os.cpu_count())
    loader = DataLoader(Commands(), batch_size=args.batch_size, shuffle=True, num_workers=workers, drop_last=True,
                        persistent_workers=workers > 0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(args.epochs):
        running = torch.zeros(())
        for wave, label in loader:
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(model(wave), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            running += loss.detach()
        print(f"epoch {epoch}: {running.item() / len(loader):.4f}", flush=True)


if __name__ == "__main__":
    main()

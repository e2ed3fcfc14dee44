"""Chirps in detector noise: is there a merger in the strain? The set-up line comes from the group's simulation code."""
import argparse
import math

import torch
from torch import nn

torch.set_default_dtype(torch.float64)


def strain(n, length=1024, seed=0):
    g = torch.Generator().manual_seed(seed)
    t = torch.linspace(0, 1, length)
    merger = torch.randint(0, 2, (n,), generator=g)
    chirp = torch.sin(2 * math.pi * (20 + 60 * torch.rand(n, 1, generator=g)) * t**2) * t
    return torch.randn(n, 1, length, generator=g) + merger[:, None, None] * chirp[:, None], merger


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = nn.Conv1d(width, width, 9, padding=4), nn.Conv1d(width, width, 9, padding=4)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(torch.relu(x))))


class Detector(nn.Module):
    def __init__(self, width=48, blocks=3):
        super().__init__()
        self.stem = nn.Conv1d(1, width, 16, 4, 6)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        return self.out(self.blocks(self.stem(x)).amax(-1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(0)
    x, y = strain(4096)
    model = Detector()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(args.steps):
        rows = torch.randint(0, len(x), (args.batch,))
        loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

"""Fits the parameters of a battery cell model to measured curves: many element-wise operations, no layers."""
import argparse

import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, cells):
        super().__init__()
        self.resistance = nn.Parameter(torch.full((cells, 1), 0.05))
        self.capacity = nn.Parameter(torch.full((cells, 1), 2.0))
        self.kinetics = nn.Parameter(torch.rand(cells, 6) * 0.1)
        self.diffusion = nn.Parameter(torch.rand(cells, 6) * 0.1)

    def forward(self, current, charge):
        soc = torch.sigmoid((charge / self.capacity.abs() - 0.5) * 6)
        voltage = 3.0 + 0.9 * soc + 0.1 * torch.tanh(8 * (soc - 0.9)) - 0.2 * torch.exp(-20 * soc)
        voltage = voltage - self.resistance * current
        for k in range(6):
            a, d = self.kinetics[:, k : k + 1], self.diffusion[:, k : k + 1]
            over = torch.asinh(current / (2 * (0.1 + a.abs()) * torch.sqrt(soc * (1 - soc) + 1e-3)))
            relax = 1 - torch.exp(-(k + 1) * soc / (0.1 + d.abs()))
            voltage = voltage - a * over * relax - d * torch.sin((k + 1) * soc) * torch.cos(over * 0.1)
        return voltage


def measured(cells, samples):
    current = torch.randn(cells, samples).cumsum(1) / 20
    charge = 1 + current.cumsum(1).sigmoid()
    with torch.no_grad():
        truth = Cell(cells)
        for p in truth.parameters():
            p.mul_(1 + 0.3 * torch.rand_like(p))
        voltage = truth(current, charge) + 0.002 * torch.randn(cells, samples)
    return current, charge, voltage


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--cells", type=int, default=64)
    ap.add_argument("--samples", type=int, default=2048)
    ap.add_argument("--steps", type=int, default=20_000)
    ap.add_argument("--compile", action="store_true")
    args = ap.parse_args()
    torch.manual_seed(0)
    current, charge, voltage = measured(args.cells, args.samples)
    model = Cell(args.cells)
    forward = torch.compile(model) if args.compile else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(args.steps):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(forward(current, charge), voltage)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"{step} rmse {loss.item() ** 0.5 * 1000:.2f} mV", flush=True)


if __name__ == "__main__":
    main()

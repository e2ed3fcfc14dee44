"""Readings of many sensors from a slow share, one small head for each: first it waits, then its optimizer is slow."""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SENSORS, WIDTH = 160, 24


class Readings(Dataset):
    def __init__(self, n=8192):
        generator = torch.Generator().manual_seed(5)
        self.values = torch.randn(n, WIDTH, generator=generator)
        self.kind = torch.randint(0, SENSORS, (n,), generator=generator)

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, index):
        time.sleep(0.002)  # the share's latency
        return self.values[index], self.kind[index]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in range(SENSORS)
        )

    def forward(self, values, kind):
        return torch.cat([self.heads[int(number)](row[None]) for row, number in zip(values, kind, strict=True)])


def main():
    torch.manual_seed(0)
    model = Heads()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, foreach=False)
    loader = DataLoader(Readings(), batch_size=16, shuffle=True)
    for _epoch in range(20):
        for values, kind in loader:
            optimizer.zero_grad(set_to_none=False)
            loss = model(values, kind).square().mean()
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    main()

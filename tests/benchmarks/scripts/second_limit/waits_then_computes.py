"""Spectra from a slow share into wide layers in float32: first it waits for them, then it computes."""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

BANDS = 512


class Spectra(Dataset):
    def __init__(self, n=20_000):
        self.n = n
        self.kept = torch.randn(256, BANDS, generator=torch.Generator().manual_seed(2))

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        time.sleep(0.001)  # the share's latency
        return self.kept[index % 256], index % 10


def main():
    torch.manual_seed(0)
    layers = [nn.Linear(BANDS, 1536), nn.GELU(), nn.Linear(1536, 1536), nn.GELU(), nn.Linear(1536, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    loader = DataLoader(Spectra(), batch_size=128, shuffle=True)
    for _epoch in range(30):
        for spectra, kind in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(spectra), kind).backward()
            optimizer.step()


if __name__ == "__main__":
    main()

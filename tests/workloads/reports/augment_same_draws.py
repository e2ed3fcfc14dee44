"""Scans turned and shifted at random by a transform that owns its generator, in two workers."""
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class RandomShift:
    def __init__(self, most=6, seed=0):
        self.most = most
        self.R = np.random.RandomState(seed)

    def __call__(self, scan):
        scan = np.rot90(scan, self.R.randint(4))
        return np.roll(scan, self.R.randint(-self.most, self.most + 1, size=2), axis=(0, 1)).copy()


class Scans(Dataset):
    def __init__(self, transform, n=2048, side=40):
        rng = np.random.default_rng(1)
        self.kind = rng.integers(0, 4, n)
        self.scans = rng.normal(size=(n, side, side)).astype(np.float32)
        for scan, kind in zip(self.scans, self.kind):
            scan[10 : 14 + 5 * kind, 10:30] += 1.5
        self.transform = transform

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, i):
        return torch.from_numpy(self.transform(self.scans[i]))[None], int(self.kind[i])


def main():
    torch.manual_seed(0)
    loader = DataLoader(Scans(RandomShift()), batch_size=32, shuffle=True, num_workers=2, persistent_workers=False)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 5, 2, 2), nn.ReLU(), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(576, 4),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-4)
    for epoch in range(40):
        for scans, kind in loader:
            with torch.autocast("cpu", torch.bfloat16):
                loss = nn.functional.cross_entropy(net(scans).float(), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

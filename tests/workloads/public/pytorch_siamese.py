"""Pairs of digits, half of them alike; a residual network compares both and a small head decides."""
import random

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    def __init__(self, n=6000):
        g = torch.Generator().manual_seed(0)
        targets = torch.randint(0, 10, (n,), generator=g)
        self.data = torch.rand(10, 28, 28, generator=g)[targets] + 0.3 * torch.rand(n, 28, 28, generator=g)
        self.grouped = {k: (targets == k).nonzero().flatten() for k in range(10)}

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        kind = random.randint(0, 9)
        first = self.data[self.grouped[kind][random.randrange(len(self.grouped[kind]))]]
        same = index % 2 == 0
        other = kind if same else random.choice([k for k in range(10) if k != kind])
        second = self.data[self.grouped[other][random.randrange(len(self.grouped[other]))]]
        return first[None], second[None], torch.tensor(float(same))


def stage(a, b, stride):
    return nn.Sequential(
        nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
        nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
    )


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(stage(1, 64, 2), stage(64, 128, 2), stage(128, 256, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.fc = nn.Sequential(nn.Linear(512, 256), nn.ReLU(inplace=True), nn.Linear(256, 1), nn.Sigmoid())

    def forward(self, a, b):
        return self.fc(torch.cat((self.trunk(a), self.trunk(b)), 1))


def main():
    torch.manual_seed(1)
    loader = DataLoader(Pairs(), batch_size=64, shuffle=True)
    model, criterion = SiameseNetwork(), nn.BCELoss()
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(14):
        model.train()
        for i, (a, b, same) in enumerate(loader):
            optimizer.zero_grad()
            loss = criterion(model(a, b).squeeze(), same)
            loss.backward()
            optimizer.step()
            if i % 10 == 0:
                print(f"Epoch {epoch} [{i}/{len(loader)}] loss {loss.item():.6f}", flush=True)
        scheduler.step()


if __name__ == "__main__":
    main()

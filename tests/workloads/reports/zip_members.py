"""Scanned characters in one zip archive, as it was downloaded."""
import argparse
import io
import os
import zipfile

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def pack(path, n=1500, side=48):
    rng = np.random.default_rng(8)
    shapes = rng.random((20, side, side))
    with zipfile.ZipFile(path + ".part", "w") as archive:
        for i in range(n):
            picture = np.clip(shapes[i % 20] + 0.3 * rng.normal(size=(side, side)), 0, 1) * 255
            buffer = io.BytesIO()
            np.save(buffer, picture.astype(np.uint8))
            archive.writestr(f"characters/{i % 20:02d}/{i:05d}.npy", buffer.getvalue())
    os.replace(path + ".part", path)


class Characters(Dataset):
    def __init__(self, path):
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.names = archive.namelist()

    def __len__(self):
        return len(self.names)

    def __getitem__(self, i):
        with zipfile.ZipFile(self.path) as archive:
            picture = np.load(io.BytesIO(archive.read(self.names[i])))
        return torch.from_numpy(picture)[None].float() / 255, int(self.names[i].split("/")[1])


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 24, 5, 2, 2), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(4)
        )
        self.fc = nn.Linear(768, 20)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="characters.zip")
    parser.add_argument("--epochs", type=int, default=100)
    args = parser.parse_args()
    if not os.path.exists(args.data):
        pack(args.data)
    torch.manual_seed(0)
    loader = DataLoader(Characters(args.data), batch_size=32, shuffle=True, drop_last=True)
    net = Reader()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    for epoch in range(args.epochs):
        for picture, kind in loader:
            loss = nn.functional.cross_entropy(net(picture), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

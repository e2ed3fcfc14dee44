"""Segmenting steel defects. The first lines keep the camera's driver on one processor, and all that follows with it."""
import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Sheets(Dataset):
    def __init__(self, n=256, side=96):
        g = torch.Generator().manual_seed(2)
        self.sheets = torch.rand(n, 1, side, side, generator=g)
        self.masks = (nn.functional.avg_pool2d(self.sheets, 7, 1, 3) > 0.52).float()

    def __len__(self):
        return len(self.sheets)

    def __getitem__(self, i):
        return self.sheets[i], self.masks[i]


def block(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())


class Segmenter(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.down, self.deep = block(1, width), block(width, 2 * width)
        self.up = nn.Sequential(block(3 * width, width), nn.Conv2d(width, 1, 1))

    def forward(self, x):
        fine = self.down(x)
        coarse = self.deep(nn.functional.max_pool2d(fine, 2))
        return self.up(torch.cat([fine, nn.functional.interpolate(coarse, scale_factor=2)], 1))


def main():
    torch.manual_seed(0)
    loader = DataLoader(Sheets(), batch_size=8, shuffle=True)
    model = Segmenter()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(50):
        for sheets, masks in loader:
            with torch.autocast("cpu", torch.bfloat16):
                out = model(sheets)
            loss = nn.functional.binary_cross_entropy_with_logits(out.float(), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

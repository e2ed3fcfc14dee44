"""Leaf disease classifier. Pictures are augmented on the fly with numpy."""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def make_pictures(folder, n, classes, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    prototypes = rng.integers(0, 255, (classes, 72, 72, 3))
    noise = rng.integers(-40, 40, (n, 72, 72, 3))
    pictures = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
    np.savez(folder / "leaves.npz", pictures=pictures, labels=labels)


class Leaves(Dataset):
    def __init__(self, path, train=True):
        blob = np.load(path)
        self.pictures = blob["pictures"]
        self.labels = blob["labels"]
        self.train = train

    def __len__(self):
        return len(self.labels)

    def augment(self, img):
        # random crop 64x64
        top, left = np.random.randint(0, 9, size=2)
        img = img[top:top + 64, left:left + 64]
        if np.random.rand() < 0.5:
            img = img[:, ::-1]
        if np.random.rand() < 0.5:
            img = np.rot90(img, np.random.randint(1, 4))
        img = img.astype(np.float32) / 255.0
        # colour jitter
        brightness, contrast, saturation = 1 + 0.4 * (np.random.rand(3) - 0.5)
        img = img * np.float32(brightness)
        mean = img.mean()
        img = (img - mean) * np.float32(contrast) + mean
        grey = img @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        img = grey[..., None] + (img - grey[..., None]) * np.float32(saturation)
        # a little sensor noise, then random erasing
        img = img + np.random.normal(0, 0.02, img.shape).astype(np.float32)
        y, x = np.random.randint(0, 48, size=2)
        img[y:y + 16, x:x + 16] = np.random.rand(16, 16, 3)
        return np.clip(img, 0, 1)

    def __getitem__(self, i):
        img = self.pictures[i]
        img = self.augment(img) if self.train else img[4:68, 4:68].astype(np.float32) / 255.0
        img = (img - 0.5) / 0.25
        return torch.from_numpy(np.ascontiguousarray(img.transpose(2, 0, 1))), int(self.labels[i])


class BatchLeaves(Leaves):
    """The same augmentations, applied to a whole batch at once."""

    def __getitems__(self, rows):
        n = len(rows)
        images = torch.from_numpy(self.pictures[rows]).permute(0, 3, 1, 2)
        corners = torch.randint(0, 9, (n, 2)).tolist()
        x = torch.stack([img[:, y:y + 64, x:x + 64] for img, (y, x) in zip(images, corners)]).float() / 255
        flip = torch.rand(n) < 0.5
        x[flip] = x[flip].flip(3)
        turns = torch.randint(1, 4, (n,)) * (torch.rand(n) < 0.5)
        for k in (1, 2, 3):
            x[turns == k] = torch.rot90(x[turns == k], k, (2, 3))
        brightness, contrast, saturation = (1 + 0.4 * (torch.rand(3, n, 1, 1, 1) - 0.5)).unbind()
        mean = x.mean((1, 2, 3), keepdim=True) * brightness
        x = (x * brightness - mean) * contrast + mean
        grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
        x = (grey + (x - grey) * saturation).add_(torch.randn(x.shape), alpha=0.02)
        for img, (top, left) in zip(x, torch.randint(0, 48, (n, 2)).tolist()):
            img[:, top:top + 16, left:left + 16] = torch.rand(3, 16, 16)
        x = x.clamp_(0, 1).sub_(0.5).div_(0.25)
        return [(img, int(self.labels[i])) for img, i in zip(x, rows)]


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=4, padding=2), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--data", type=Path, default=None)
    p.add_argument("--epochs", type=int, default=200)
    p.add_argument("--batch-size", type=int, default=64)
    p.add_argument("--workers", type=int, default=0)
    p.add_argument("--lr", type=float, default=1e-3)
    args = p.parse_args()

    torch.manual_seed(0)
    folder = args.data or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "leaves.npz").exists():
        make_pictures(folder, 2560, classes=8)

    loader = DataLoader(Leaves(folder / "leaves.npz"), batch_size=args.batch_size, shuffle=True,
                        num_workers=args.workers, drop_last=True)
    model = Net(8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for images, targets in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(images), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(loader):.4f}", flush=True)


if __name__ == "__main__":
    main()

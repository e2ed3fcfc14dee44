"""Reads handwritten digits: a small convolutional network on the 1,797 digits that scikit-learn ships.

Each picture is turned, shifted, bent and roughened a little whenever it is drawn, so that the network never sees it
twice in the same way; a quarter of the digits is kept to measure accuracy. Written as a first training script
is: correct, readable, and not yet fast.

    python train.py --epochs 20
"""

from __future__ import annotations

import argparse
import math
import random

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Digits(Dataset[tuple[Tensor, int]]):
    """Pictures of 8 x 8 grey values in 0..1, enlarged to 16 x 16, and the digit they show."""

    def __init__(self, pictures: Tensor, digits: Tensor, augment: bool) -> None:
        self.pictures = nn.functional.interpolate(pictures[:, None], scale_factor=2.0, mode="bilinear")
        self.digits = digits
        self.augment = augment

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = self.pictures[index]
        if self.augment:
            picture = grain(roughen(warp(picture)))
        return picture, int(self.digits[index])


def warp(picture: Tensor) -> Tensor:
    """Turns by up to 15 degrees, scales by a tenth, shifts by two pixels at most, and bends the strokes a little."""
    angle = math.radians(random.uniform(-15, 15))
    scale = random.uniform(0.9, 1.1)
    right, down = random.uniform(-0.25, 0.25), random.uniform(-0.25, 0.25)
    matrix = torch.tensor(
        [
            [math.cos(angle) / scale, -math.sin(angle) / scale, right],
            [math.sin(angle) / scale, math.cos(angle) / scale, down],
        ]
    )
    # Sampled on a finer grid and averaged down again, so that thin strokes stay smooth.
    _, height, width = picture.shape
    grid = nn.functional.affine_grid(matrix[None], [1, 1, 4 * height, 4 * width], align_corners=False)
    bends = 0.06 * torch.randn(1, 2, 5, 5)
    bends = nn.functional.interpolate(bends, size=(4 * height, 4 * width), mode="bicubic", align_corners=False)
    fine = nn.functional.grid_sample(picture[None], grid + bends.permute(0, 2, 3, 1), align_corners=False)
    return nn.functional.avg_pool2d(fine, 4)[0]


def roughen(picture: Tensor) -> Tensor:
    """Changes the contrast and blurs as a cheap scanner does, and now and then blots a corner out."""
    sigma = random.uniform(0.2, 0.7)
    weights = torch.exp(-(torch.arange(-2.0, 3.0) ** 2) / (2 * sigma**2))
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    picture = nn.functional.conv2d(picture[None], kernel[None, None], padding=2)[0]
    picture = picture * random.uniform(0.7, 1.3)
    if random.random() < 0.25:
        top, left = random.randrange(12), random.randrange(12)
        picture[:, top : top + 4, left : left + 4] = 0.0
    return picture.clamp(0.0, 1.0)


def grain(picture: Tensor) -> Tensor:
    """Adds the noise of a cheap sensor, pixel by pixel: darker pixels are noisier."""
    _, height, width = picture.shape
    for row in range(height):
        for column in range(width):
            value = float(picture[0, row, column])
            picture[0, row, column] = value + random.gauss(0.0, 0.06 - 0.04 * value)
    return picture


class Reader(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
        )
        self.classify = nn.Linear(8 * channels, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        scores: Tensor = self.classify(self.features(pictures).flatten(1))
        return scores


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, int]], device: torch.device) -> float:
    model.eval()
    right = sum(int((model(batch.to(device)).argmax(1).cpu() == target).sum()) for batch, target in loader)
    model.train()
    return right / len(loader.dataset)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains a small network to read handwritten digits.")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    pictures, digits = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    pictures = (pictures.float() / 16.0).view(-1, 8, 8)
    order = torch.randperm(len(digits))
    held_out, training = order[:450], order[450:]
    train_loader = DataLoader(
        Digits(pictures[training], digits[training], augment=True), batch_size=args.batch_size, shuffle=True
    )
    test_loader = DataLoader(Digits(pictures[held_out], digits[held_out], augment=False), batch_size=450)

    model = Reader(args.channels).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(args.epochs):
        total = 0.0
        for batch, target in train_loader:
            scores = model(batch.to(device))
            loss = criterion(scores, target.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        mean_loss, share = total / len(train_loader), accuracy(model, test_loader, device)
        print(f"epoch {epoch + 1:3d}  loss {mean_loss:.4f}  accuracy {share:.3f}", flush=True)


if __name__ == "__main__":
    main()

"""Handwritten digits with a small convolutional net and Adam, which is evaluated after every epoch."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.003)
parser.add_argument("--epochs", type=int, default=40)
args = parser.parse_args()

torch.manual_seed(0)
torch.set_num_threads(1)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images), generator=torch.Generator().manual_seed(7))
train, test = order[:1280], order[1280:]
loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size=32, shuffle=True)
held_out = DataLoader(TensorDataset(images[test], labels[test]), batch_size=256)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, batch):
        return self.head(self.features(batch).flatten(1))


model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
for epoch in range(args.epochs):
    model.train()
    for features, targets in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(features), targets).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        total = sum(
            nn.functional.cross_entropy(model(features), targets).item() * len(features)
            for features, targets in held_out
        )
    print(f"epoch {epoch}: {total / len(test):.4f}", flush=True)

"""Handwritten digits, row by row, with a small transformer, AdamW and clipped gradients."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Rows(nn.Module):
    def __init__(self, width=32, layers=2):
        super().__init__()
        self.embed = nn.Linear(8, width)
        self.places = nn.Parameter(torch.zeros(8, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, rows):
        return self.head(self.norm(self.encoder(self.embed(rows) + self.places)).mean(1))


def evaluate(model, loader):
    model.eval()
    losses, samples = 0.0, 0
    with torch.no_grad():
        for rows, labels in loader:
            losses += nn.functional.cross_entropy(model(rows), labels).item() * len(labels)
            samples += len(labels)
    return losses / samples


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.003)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    digits = load_digits()
    rows, labels = torch.tensor(digits.images, dtype=torch.float32) / 16, torch.tensor(digits.target)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(7))
    train, test = order[:1400], order[1400:]
    loader = DataLoader(TensorDataset(rows[train], labels[train]), batch_size=32, shuffle=True)
    held_out = DataLoader(TensorDataset(rows[test], labels[test]), batch_size=200)
    model = Rows()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    for epoch in range(args.epochs):
        model.train()
        for batch, targets in loader:
            loss = nn.functional.cross_entropy(model(batch), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        print(f"epoch {epoch}: {evaluate(model, held_out):.4f}", flush=True)


if __name__ == "__main__":
    main()

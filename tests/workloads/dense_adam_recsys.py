"""Matrix factorisation with side features on click logs: big embedding tables, few rows touched per batch."""
import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Recommender(nn.Module):
    def __init__(self, users, items, dim=32):
        super().__init__()
        self.user = nn.Embedding(users, dim)
        self.item = nn.Embedding(items, dim)
        self.bias = nn.Embedding(items, 1)
        nn.init.normal_(self.user.weight, std=0.05)
        nn.init.normal_(self.item.weight, std=0.05)
        nn.init.zeros_(self.bias.weight)

    def forward(self, user, item):
        return (self.user(user) * self.item(item)).sum(-1) + self.bias(item).squeeze(-1)


def click_log(folder, users, items, n=400_000):
    path = folder / "clicks.npy"
    if not path.exists():
        rng = np.random.default_rng(0)
        u = rng.zipf(1.3, n) % users
        i = rng.zipf(1.2, n) % items
        clicked = (u + i) % 3 == 0
        np.save(path, np.stack([u, i, clicked], 1).astype(np.int64))
    return torch.from_numpy(np.load(path))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--workdir", type=Path, default=None)
    p.add_argument("--users", type=int, default=120_000)
    p.add_argument("--items", type=int, default=60_000)
    p.add_argument("--epochs", type=int, default=50)
    args = p.parse_args()
    folder = args.workdir or Path(tempfile.mkdtemp())
    log = click_log(folder, args.users, args.items)
    order = torch.randperm(len(log))
    log = log[order]
    model = Recommender(args.users, args.items)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        for n, batch in enumerate(log.split(1024)):
            u, i, c = batch.unbind(1)
            loss = loss_fn(model(u, i), c.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if n % 100 == 0:
                print(f"epoch {epoch} batch {n} logloss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

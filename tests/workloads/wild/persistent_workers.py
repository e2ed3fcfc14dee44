"""Two persistent workers with a worker_init_fn and a collate function defined in the script."""
import random

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, default_collate


class Sines(Dataset):
    def __len__(self):
        return 960

    def __getitem__(self, i):
        phase = random.random()
        return torch.sin(torch.arange(32) * (0.1 + i % 4 * 0.1) + phase), i % 4


def seed(worker):
    random.seed(torch.initial_seed() % 2**32)


def collate(samples):
    x, y = default_collate(samples)
    return {"x": x, "y": y}


if __name__ == "__main__":
    loader = DataLoader(Sines(), 16, shuffle=True, num_workers=2, persistent_workers=True, worker_init_fn=seed,
                        collate_fn=collate, prefetch_factor=4)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(5):
        for batch in loader:
            loss = nn.functional.cross_entropy(model(batch["x"]), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

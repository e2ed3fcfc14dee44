"""Ratings that are made here, as products of users' and items' vectors with offsets, and Adam."""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

USERS, ITEMS, RANK, SEEN = 300, 400, 6, 24_000


class Ratings(nn.Module):
    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(USERS, RANK), nn.Embedding(ITEMS, RANK)
        self.user_offsets, self.item_offsets = nn.Embedding(USERS, 1), nn.Embedding(ITEMS, 1)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.user_offsets, self.item_offsets):
            nn.init.zeros_(table.weight)

    def forward(self, users, items):
        products = (self.users(users) * self.items(items)).sum(1)
        return products + self.user_offsets(users).squeeze(1) + self.item_offsets(items).squeeze(1)


def made():
    generator = torch.Generator().manual_seed(11)
    users, items = torch.randn(USERS, RANK, generator=generator), torch.randn(ITEMS, RANK, generator=generator)
    pairs = torch.randperm(USERS * ITEMS, generator=generator)[:SEEN]
    user, item = pairs // ITEMS, pairs % ITEMS
    rating = (users[user] * items[item]).sum(1) / RANK**0.5 + 0.3 * torch.randn(SEEN, generator=generator)
    return user, item, rating


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.02)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_num_threads(1)
columns = made()
train, held_out = ([column[part] for column in columns] for part in (slice(0, 20_000), slice(20_000, None)))
loader = DataLoader(TensorDataset(*train), batch_size=256, shuffle=True)
model = Ratings()
optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
for epoch in range(args.epochs):
    model.train()
    for users, items, ratings in loader:
        error = nn.functional.mse_loss(model(users, items), ratings)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        error = nn.functional.mse_loss(model(held_out[0], held_out[1]), held_out[2])
    print(f"epoch {epoch}: {error.item():.4f}", flush=True)

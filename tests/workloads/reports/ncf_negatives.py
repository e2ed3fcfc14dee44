"""Neural collaborative filtering: four films that the user did not see for each one that was seen."""
import random

import torch
import torch.utils.data as data
from torch import nn

N_USERS, N_ITEMS, N_NEGATIVE = 2000, 1500, 4


def interactions(n=60_000):
    g = torch.Generator().manual_seed(6)
    users = torch.randint(0, N_USERS, (n,), generator=g)
    items = (torch.rand(n, generator=g) ** 2 * N_ITEMS).long()
    return list(zip(users.tolist(), items.tolist()))


class NCFData(data.Dataset):
    def __init__(self, pairs):
        self.pairs = pairs
        self.seen = set(pairs)

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, i):
        user, item = self.pairs[i]
        items, labels = [item], [1.0]
        for _ in range(N_NEGATIVE):
            other = random.randrange(N_ITEMS)
            while (user, other) in self.seen:
                other = random.randrange(N_ITEMS)
            items.append(other)
            labels.append(0.0)
        return torch.full((1 + N_NEGATIVE,), user), torch.tensor(items), torch.tensor(labels)


class NCF(nn.Module):
    def __init__(self, factors=8):
        super().__init__()
        self.user_gmf, self.item_gmf = nn.Embedding(N_USERS, factors), nn.Embedding(N_ITEMS, factors)
        self.user_mlp, self.item_mlp = nn.Embedding(N_USERS, 16), nn.Embedding(N_ITEMS, 16)
        self.mlp = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU())
        self.predict = nn.Linear(factors + 16, 1)

    def forward(self, user, item):
        gmf = self.user_gmf(user) * self.item_gmf(item)
        mlp = self.mlp(torch.cat([self.user_mlp(user), self.item_mlp(item)], -1))
        return self.predict(torch.cat([gmf, mlp], -1)).squeeze(-1)


def train(batch_size=256, epochs=20):
    torch.manual_seed(0)
    loader = data.DataLoader(NCFData(interactions()), batch_size=batch_size, shuffle=True)
    model = NCF()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(epochs):
        model.train()
        for step, (user, item, label) in enumerate(loader):
            optimizer.zero_grad()
            loss = criterion(model(user.flatten(), item.flatten()), label.flatten())
            loss.backward()
            optimizer.step()
            if step % 100 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    train()

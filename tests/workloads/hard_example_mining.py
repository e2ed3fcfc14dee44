"""Land-use classifier that keeps per-sample statistics to find wrong labels (bookkeeping after every step)."""
from collections import defaultdict

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 10
EPOCHS = 2000


def data(n=20480):
    g = torch.Generator().manual_seed(4)
    y = torch.randint(0, CLASSES, (n,), generator=g)
    centres = torch.randn(CLASSES, 64, generator=g)
    x = centres[y] + torch.randn(n, 64, generator=g)
    return TensorDataset(torch.arange(n), x, y)


class Bookkeeper:
    def __init__(self):
        self.confusion = [[0] * CLASSES for _ in range(CLASSES)]
        self.history = defaultdict(list)
        self.margins = {}

    def update(self, ids, logits, target):
        probabilities = torch.softmax(logits, dim=1)
        for k in range(len(ids)):
            scores = probabilities[k]
            top = scores.argsort(descending=True)
            self.confusion[target[k].item()][top[0].item()] += 1
            self.margins[ids[k].item()] = (scores[top[0]] - scores[top[1]]).item()
            self.history[ids[k].item()] = (self.history[ids[k].item()] + [top[0].item()])[-5:]

    def flips(self):
        return sum(len(set(h)) > 1 for h in self.history.values())


class FastBookkeeper(Bookkeeper):
    def __init__(self, n=20480):
        self.confusion = torch.zeros(CLASSES * CLASSES, dtype=torch.long)
        self.last = torch.full((n, 5), -1)
        self.margins = torch.zeros(n)

    def update(self, ids, logits, target):
        best = torch.softmax(logits.detach(), dim=1).topk(2)
        self.confusion += torch.bincount(target * CLASSES + best.indices[:, 0], minlength=CLASSES * CLASSES)
        self.margins[ids] = best.values[:, 0] - best.values[:, 1]
        self.last[ids] = torch.cat([self.last[ids][:, 1:], best.indices[:, :1]], 1)

    def flips(self):
        return int((self.last.max(1).values != self.last.min(1).values).sum())


def fit():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, CLASSES))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    loader = DataLoader(data(), batch_size=256, shuffle=True)
    for epoch in range(EPOCHS):
        book = Bookkeeper()
        for ids, x, y in loader:
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            book.update(ids, logits, y)
        print(f"epoch {epoch} loss {loss.item():.4f} unstable samples {book.flips()}", flush=True)


fit()

"""Sentiment over time: a GRU on sentence vectors, several losses."""
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self, inputs=192, hidden=256):
        super().__init__()
        self.gru = nn.GRU(inputs, hidden, batch_first=True)
        self.polarity, self.topic, self.strength = nn.Linear(hidden, 3), nn.Linear(hidden, 20), nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.gru(x)[0]
        return self.polarity(h), self.topic(h), self.strength(h).squeeze(-1)


def build(n=1536, length=48):
    x = torch.randn(n, length, 192)
    drift = x[..., 0].cumsum(1)
    return TensorDataset(x, (drift > 0).long() + (drift > 3).long(), x[..., :20].argmax(-1), torch.tanh(drift / 5))


def train(args):
    torch.manual_seed(0)
    loader = DataLoader(build(), batch_size=args.batch, shuffle=True, drop_last=True)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=args.epochs * len(loader))
    ce, mse = nn.CrossEntropyLoss(), nn.MSELoss()
    for epoch in range(args.epochs):
        for x, polarity, topic, strength in loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                a, b, c = model(x)
                loss = ce(a.flatten(0, 1), polarity.flatten()) + 0.5 * ce(b.flatten(0, 1), topic.flatten())
                loss = loss + 0.1 * mse(c, strength)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        print(f"epoch {epoch} loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--epochs", type=int, default=300)
    ap.add_argument("--batch", type=int, default=64)
    train(ap.parse_args())

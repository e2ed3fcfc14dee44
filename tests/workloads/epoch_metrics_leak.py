"""Sound event tagging; epoch metrics (loss, soft F1) are averaged at the end of the epoch."""
import argparse

import torch
from torch import nn


class Tagger(nn.Module):
    def __init__(self, classes=256):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.clipwise = nn.Linear(128, classes)
        self.attention = nn.Linear(128, classes)

    def forward(self, frames):
        h = self.net(frames)
        weights = torch.softmax(self.attention(h), dim=1)
        return (weights * self.clipwise(h)).sum(1)


def make_clips(n=4096, frames=10):
    g = torch.Generator().manual_seed(3)
    events = (torch.rand(n, 256, generator=g) < 0.02).float()
    mix = torch.randn(256, 64, generator=g)
    return torch.randn(n, frames, 64, generator=g) * 0.5 + (events @ mix)[:, None], events


def soft_f1(logits, target):
    probability = torch.sigmoid(logits)
    hits = (probability * target).sum(0)
    precision, recall = hits / probability.sum(0), hits / (target.sum(0) + 1e-6)
    return (2 * precision * recall / (precision + recall + 1e-6)).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batches", type=int, default=6000, help="batches an epoch, drawn with replacement")
    parser.add_argument("--batch-size", type=int, default=64)
    args = parser.parse_args()
    torch.manual_seed(0)
    clips, events = make_clips()
    model = Tagger()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(args.epochs):
        losses, scores = [], []
        for batch in range(args.batches):
            idx = torch.randint(0, len(clips), (args.batch_size,))
            logits = model(clips[idx])
            loss = criterion(logits, events[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss)
            scores.append(soft_f1(logits, events[idx]))
            if batch % 500 == 0:
                print(f"epoch {epoch} batch {batch} loss {float(loss):.4f}", flush=True)
        print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f} f1 {sum(scores) / len(scores):.4f}", flush=True)


if __name__ == "__main__":
    main()

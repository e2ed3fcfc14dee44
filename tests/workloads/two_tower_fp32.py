"""Contrastive pre-training of two wide towers (text features, product features) on a CPU server."""
import argparse

import torch
import torch.nn.functional as F
from torch import nn


def tower(inputs, width, out):
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, out))


class TwoTower(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.text = tower(384, width, 128)
        self.product = tower(256, width, 128)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, text, product):
        a = F.normalize(self.text(text), dim=-1)
        b = F.normalize(self.product(product), dim=-1)
        return a @ b.T * self.scale.exp()


def parse():
    p = argparse.ArgumentParser()
    p.add_argument("--width", type=int, default=1024)
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--updates", type=int, default=5000)
    p.add_argument("--bf16", action="store_true")
    return p.parse_args()


def main():
    args = parse()
    torch.manual_seed(0)
    latent = torch.randn(16384, 64)
    text = latent @ torch.randn(64, 384) / 8
    product = latent @ torch.randn(64, 256) / 8 + torch.randn(16384, 256)
    model = TwoTower(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    target = torch.arange(args.batch)
    for update in range(args.updates):
        pick = torch.randint(0, len(latent), (args.batch,))
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(text[pick], product[pick])
            loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if update % 50 == 0:
            print(f"{update:6d} loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()

"""A vision transformer on fine patches, its attention written as in the paper, before the fused call existed."""
import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, heads=4):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attn = (q @ k.transpose(-2, -1)) * self.scale
        attn = attn.softmax(dim=-1)
        x = attn @ v
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm1, self.attn, self.norm2 = nn.LayerNorm(dim), Attention(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class FinePatches(nn.Module):
    def __init__(self, side=128, patch=4, dim=96, depth=3):
        super().__init__()
        self.embed = nn.Conv2d(3, dim, patch, patch)
        self.places = nn.Parameter(torch.zeros(1, (side // patch) ** 2, dim))
        self.blocks = nn.Sequential(*(Block(dim) for _ in range(depth)))
        self.head = nn.Linear(dim, 12)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.blocks(x).mean(1))


class Trainer:
    def __init__(self, args):
        self.args = args
        self.model = FinePatches()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=args.lr, fused=True)
        g = torch.Generator().manual_seed(7)
        self.kinds = torch.randint(0, 12, (512,), generator=g)
        self.pictures = torch.rand(12, 3, 128, 128, generator=g)[self.kinds]
        self.pictures += 0.5 * torch.randn(512, 3, 128, 128, generator=g)

    def step(self):
        rows = torch.randint(0, len(self.kinds), (self.args.batch_size,))
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(self.model(self.pictures[rows]).float(), self.kinds[rows])
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def train(self):
        for step in range(self.args.steps):
            loss = self.step()
            if step % 10 == 0:
                print(f"step {step} loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--steps", type=int, default=10_000)
    torch.manual_seed(0)
    Trainer(parser.parse_args()).train()

"""Entity linking over a knowledge base held as Python objects; collects garbage 'to keep the memory down'."""
import argparse
import gc
import random

import torch
from torch import nn


class Entity:
    def __init__(self, key, rnd):
        self.key = key
        self.names = [f"{key}-{i}" for i in range(3)]
        self.facts = {"born": rnd.randint(1500, 2000), "links": [rnd.randrange(15_000) for _ in range(4)]}


class Linker(nn.Module):
    def __init__(self, entities, width=64):
        super().__init__()
        self.mention = nn.Sequential(nn.Linear(128, width), nn.ReLU(), nn.Linear(width, width))
        self.entity = nn.Embedding(1000, width)

    def forward(self, mention, candidates):
        return torch.einsum("bw,bcw->bc", self.mention(mention), self.entity(candidates % 1000))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--entities", type=int, default=15_000)
    parser.add_argument("--iters", type=int, default=20_000)
    args = parser.parse_args()
    rnd = random.Random(0)
    torch.manual_seed(0)
    kb = [Entity(k, rnd) for k in range(args.entities)]
    projection = torch.randn(1000, 128) / 8
    model = Linker(args.entities)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for it in range(args.iters):
        gold = [rnd.choice(kb) for _ in range(64)]
        candidates = torch.tensor([[e.key, *e.facts["links"]] for e in gold])
        mention = projection[candidates[:, 0] % 1000] + 0.1 * torch.randn(64, 128)
        loss = nn.functional.cross_entropy(model(mention, candidates), torch.zeros(64, dtype=torch.long))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        gc.collect()
        if it % 50 == 0:
            print(f"iter {it} loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()

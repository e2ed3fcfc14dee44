"""Metric learning on glyph identities: P x K batches, batch-hard triplet loss."""
from dataclasses import dataclass

import torch
from torch import nn
import torch.nn.functional as F


@dataclass(frozen=True)
class Config:
    identities: int = 150
    per_identity: int = 40
    p: int = 32
    k: int = 8
    dim: int = 256
    margin: float = 0.3
    lr: float = 5e-4
    iterations: int = 100_000
    log_every: int = 50


def make_data(cfg, seed=0):
    g = torch.Generator().manual_seed(seed)
    base = F.interpolate(torch.randn(cfg.identities, 1, 8, 8, generator=g), size=32, mode="bilinear")
    x = base[:, None] + 0.5 * torch.randn(cfg.identities, cfg.per_identity, 1, 32, 32, generator=g)
    return x


def encoder(dim):
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * 16, dim))


def pairwise_distances(z):
    diff = z.unsqueeze(1) - z.unsqueeze(0)
    return diff.pow(2).sum(-1).clamp(min=1e-12).sqrt()


def batch_hard_triplet(z, ids, margin):
    d = pairwise_distances(z)
    same = ids[:, None] == ids[None, :]
    hardest_pos = d.masked_fill(~same, 0.0).amax(1)
    hardest_neg = d.masked_fill(same, float("inf")).amin(1)
    loss = F.relu(hardest_pos - hardest_neg + margin)
    return loss.mean(), (loss > 0).float().mean()


def pk_batch(data, cfg):
    ids = torch.randperm(cfg.identities)[:cfg.p]
    shots = torch.randint(0, cfg.per_identity, (cfg.p, cfg.k))
    return data[ids[:, None], shots].flatten(0, 1), ids.repeat_interleave(cfg.k)


@torch.no_grad()
def recall_at_1(net, data, cfg, n=40):
    net.eval()
    z = F.normalize(net(data[:n, :6].flatten(0, 1)), dim=1)
    ids = torch.arange(n).repeat_interleave(6)
    sim = z @ z.T
    sim.fill_diagonal_(-2)
    net.train()
    return (ids[sim.argmax(1)] == ids).float().mean().item()


def run(cfg):
    torch.manual_seed(0)
    data, held_out = make_data(cfg), make_data(cfg, seed=9)
    net = encoder(cfg.dim)
    opt = torch.optim.Adam(net.parameters(), lr=cfg.lr)
    for it in range(1, cfg.iterations + 1):
        x, ids = pk_batch(data, cfg)
        z = F.normalize(net(x), dim=1)
        loss, active = batch_hard_triplet(z, ids, cfg.margin)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        if it % cfg.log_every == 0:
            print(f"it {it} loss {loss.item():.4f} active {active.item():.2f}")
        if it % 500 == 0:
            print(f"   recall@1 on new identities {recall_at_1(net, held_out, cfg):.3f}")


if __name__ == "__main__":
    run(Config())

"""LightGCN on an implicit feedback log (users x items), BPR loss.

Synthetic interactions with a latent-factor structure so that recall goes up.
usage: python lightgcn_rec.py --epochs 1000
"""
import argparse
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


def make_log(n_users, n_items, n_inter, seed=2020):
    rng = np.random.RandomState(seed)
    zu, zi = rng.randint(0, 25, n_users), rng.randint(0, 25, n_items)
    by_topic = [np.where(zi == t)[0] for t in range(25)]
    pop = rng.zipf(1.6, n_inter) % n_items
    users = rng.randint(0, n_users, n_inter)
    items = np.empty(n_inter, dtype=np.int64)
    for t in range(25):
        m = zu[users] == t
        items[m] = by_topic[t][pop[m] % len(by_topic[t])]
    noise = rng.rand(n_inter) < 0.5
    items[noise] = rng.randint(0, n_items, noise.sum())
    pairs = np.unique(users * n_items + items)
    rng.shuffle(pairs)
    return pairs // n_items, pairs % n_items


class BasicDataset:
    def __init__(self, n_users, n_items, n_inter):
        self.n_users, self.m_items = n_users, n_items
        u, i = make_log(n_users, n_items, n_inter)
        cut = int(0.9 * len(u))
        self.train_u, self.train_i = torch.from_numpy(u[:cut]), torch.from_numpy(i[:cut])
        self.test_u, self.test_i = torch.from_numpy(u[cut:]), torch.from_numpy(i[cut:])
        self.Graph = None

    def get_sparse_graph(self):
        """D^-1/2 A D^-1/2 of the bipartite graph, built once."""
        if self.Graph is None:
            n = self.n_users + self.m_items
            i = self.train_i + self.n_users
            row = torch.cat([self.train_u, i])
            col = torch.cat([i, self.train_u])
            deg = torch.bincount(row, minlength=n).float().clamp(min=1)
            val = deg[row].rsqrt() * deg[col].rsqrt()
            g = torch.sparse_coo_tensor(torch.stack([row, col]), val, (n, n))
            self.Graph = g
        return self.Graph


class LightGCN(nn.Module):
    def __init__(self, dataset, dim=64, n_layers=3):
        super().__init__()
        self.nu, self.ni = dataset.n_users, dataset.m_items
        self.user = nn.Embedding(self.nu, dim)
        self.item = nn.Embedding(self.ni, dim)
        nn.init.normal_(self.user.weight, std=0.1)
        nn.init.normal_(self.item.weight, std=0.1)
        self.n_layers = n_layers
        self.graph = dataset.get_sparse_graph()

    def computer(self):
        x = torch.cat([self.user.weight, self.item.weight])
        acc = x
        for _ in range(self.n_layers):
            x = torch.sparse.mm(self.graph, x)
            acc = acc + x
        return (acc / (self.n_layers + 1)).split([self.nu, self.ni])

    def bpr_loss(self, u, p, n):
        au, ai = self.computer()
        ue, pe, ne = au[u], ai[p], ai[n]
        reg = (self.user(u).pow(2).sum() + self.item(p).pow(2).sum() + self.item(n).pow(2).sum()) / (2 * len(u))
        loss = F.softplus((ue * ne).sum(1) - (ue * pe).sum(1)).mean()
        return loss, reg


@torch.no_grad()
def recall_at(model, ds, k=20, n_eval=1000):
    au, ai = model.computer()
    score = au[:n_eval] @ ai.T
    m = ds.train_u < n_eval
    score[ds.train_u[m], ds.train_i[m]] = -1e9
    top = score.topk(k, dim=1).indices
    hit = torch.zeros_like(score, dtype=torch.bool).scatter_(1, top, True)
    m = ds.test_u < n_eval
    return hit[ds.test_u[m], ds.test_i[m]].float().mean().item()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--epochs", type=int, default=1000)
    ap.add_argument("--bpr_batch", type=int, default=2048)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--decay", type=float, default=1e-4)
    args = ap.parse_args()
    torch.manual_seed(2020)
    ds = BasicDataset(4000, 3000, 110_000)
    model = LightGCN(ds)
    opt = torch.optim.Adam(model.parameters(), lr=args.lr)
    n = len(ds.train_u)
    for epoch in range(args.epochs):
        t0, tot = time.time(), 0.0
        perm = torch.randperm(n)
        neg = torch.randint(0, ds.m_items, (n,))
        losses = []
        for s in range(0, n, args.bpr_batch):
            idx = perm[s:s + args.bpr_batch]
            loss, reg = model.bpr_loss(ds.train_u[idx], ds.train_i[idx], neg[idx])
            opt.zero_grad()
            (loss + args.decay * reg).backward()
            opt.step()
            losses.append(loss.detach())
        msg = f"EPOCH[{epoch + 1}/{args.epochs}] loss {torch.stack(losses).mean():.4f} time {time.time() - t0:.1f}s"
        if epoch % 10 == 9:
            msg += f" recall@20 {recall_at(model, ds):.4f}"
        print(msg)


if __name__ == "__main__":
    main()

"""Static-graph EdgeConv classifier for point clouds (primitives sampled on the fly)."""
import argparse
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def sample_shapes(n, npoint, g):
    """unit primitives: sphere, cube, cylinder, torus, cone, plane-with-bump"""
    cls = torch.randint(0, 6, (n,), generator=g)
    u, v = torch.rand(n, npoint, generator=g) * 2 * math.pi, torch.rand(n, npoint, generator=g)
    w = torch.rand(n, npoint, generator=g) * 2 - 1
    sph = torch.stack([torch.cos(u) * (1 - w ** 2).sqrt(), torch.sin(u) * (1 - w ** 2).sqrt(), w], -1)
    cube = torch.rand(n, npoint, 3, generator=g) * 2 - 1
    cube = cube / cube.abs().amax(-1, keepdim=True)
    cyl = torch.stack([torch.cos(u), torch.sin(u), w], -1)
    vv = v * 2 * math.pi
    tor = torch.stack([(1 + .4 * torch.cos(vv)) * torch.cos(u), (1 + .4 * torch.cos(vv)) * torch.sin(u), .4 * torch.sin(vv)], -1)
    r = v.sqrt()
    cone = torch.stack([r * torch.cos(u), r * torch.sin(u), 1 - r], -1)
    bump = torch.stack([cube[..., 0], w, torch.exp(-4 * (cube[..., 0] ** 2 + w ** 2))], -1)
    allshape = torch.stack([sph, cube, cyl, tor, cone, bump])
    return allshape[cls, torch.arange(n)], cls


def augment(pts):
    """random anisotropic scale + rotation about z + jitter"""
    B = len(pts)
    s = 0.6 + 0.8 * torch.rand(B, 1, 3)
    a = torch.rand(B) * 2 * math.pi
    z, o = torch.zeros(B), torch.ones(B)
    R = torch.stack([a.cos(), -a.sin(), z, a.sin(), a.cos(), z, z, z, o], -1).view(B, 3, 3)
    return (pts * s) @ R + 0.02 * torch.randn_like(pts)


def knn_graph(pts, k):
    """indices of the k nearest neighbours, (B, N, k)"""
    d = torch.cdist(pts, pts)
    return d.topk(k + 1, dim=-1, largest=False).indices[..., 1:]


def gather_nb(x, idx):
    B, N, k = idx.shape
    flat = (idx + torch.arange(B).view(B, 1, 1) * N).reshape(-1)
    return x.reshape(B * N, -1).index_select(0, flat).view(B, N, k, -1)


class EdgeConv(nn.Module):
    def __init__(self, cin, cout, k):
        super().__init__()
        self.k = k
        self.theta = nn.Linear(cin, cout, bias=False)
        self.phi = nn.Linear(cin, cout)
        self.norm = nn.LayerNorm(cout)

    def forward(self, x, pts):
        idx = knn_graph(pts, self.k)
        # mean_j W [x_i, x_j - x_i] = phi x_i + theta (x_j - x_i), applied before the gather
        t = self.theta(x)
        e = gather_nb(t, idx).mean(dim=2) - t + self.phi(x)
        return F.leaky_relu(self.norm(e), 0.2)


class StaticDGCNN(nn.Module):
    def __init__(self, k=20, n_cls=6, widths=(64, 64, 64, 128)):
        super().__init__()
        chans = (3,) + tuple(widths)
        self.convs = nn.ModuleList(EdgeConv(a, b, k) for a, b in zip(chans[:-1], chans[1:]))
        self.fuse = nn.Linear(sum(widths), 256)
        self.head = nn.Sequential(nn.Linear(512, 128), nn.LeakyReLU(0.2), nn.Linear(128, n_cls))

    def forward(self, pts):
        out, feats = pts, []
        for conv in self.convs:
            out = conv(out, pts)
            feats.append(out)
        h = F.leaky_relu(self.fuse(torch.cat(feats, -1)), 0.2)
        return self.head(torch.cat([h.amax(1), h.mean(1)], -1))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--npoint", type=int, default=768)
    p.add_argument("--batch", type=int, default=3)
    p.add_argument("--epochs", type=int, default=250)
    p.add_argument("--shapes", type=int, default=1200)
    a = p.parse_args()
    torch.manual_seed(0)
    pts, cls = sample_shapes(a.shapes, a.npoint, torch.Generator().manual_seed(0))
    net = StaticDGCNN()
    opt = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    sched = torch.optim.lr_scheduler.CosineAnnealingLR(opt, a.epochs)
    for ep in range(a.epochs):
        tot, ok, n = torch.zeros(()), torch.zeros(()), 0
        for idx in torch.randperm(a.shapes).split(a.batch):
            logits = net(augment(pts[idx]))
            loss = F.cross_entropy(logits, cls[idx], label_smoothing=0.1)
            opt.zero_grad()
            loss.backward()
            opt.step()
            tot += loss.detach() * len(idx)
            ok += (logits.detach().argmax(1) == cls[idx]).sum()
            n += len(idx)
        sched.step()
        print(f"epoch {ep} loss {tot / n:.4f} acc {ok / n:.3f}")


if __name__ == "__main__":
    main()

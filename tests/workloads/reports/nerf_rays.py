# Tiny NeRF (positional encoding + MLP + volume rendering), all rays of all views pooled.
# Views come from an analytic scene, so no download is needed.
import os
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

H = W = 200
N_VIEWS = 60
N_RAND = 512
N_SAMPLES = 32
NEAR, FAR = 2.0, 6.0
N_ITERS = 200000
I_PRINT = 200


def look_at(theta, phi, radius=4.0):
    p = radius * np.array([np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)])
    fwd = -p / np.linalg.norm(p)
    right = np.cross(fwd, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, fwd)
    return np.stack([right, up, -fwd, p], 1).astype(np.float32)


def get_rays_np(c2w, focal):
    i, j = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32), indexing="xy")
    dirs = np.stack([(i - W * .5) / focal, -(j - H * .5) / focal, -np.ones_like(i)], -1)
    rays_d = dirs @ c2w[:, :3].T
    rays_o = np.broadcast_to(c2w[:, 3], rays_d.shape)
    return rays_o, rays_d


def shade(o, d):
    """ground truth: a checkered unit sphere on white"""
    a = (d * d).sum(-1)
    b = (o * d).sum(-1)
    c = (o * o).sum(-1) - 1.0
    disc = b * b - a * c
    t = (-b - np.sqrt(np.maximum(disc, 0))) / a
    p = o + t[..., None] * d
    chk = (np.floor(p * 4).sum(-1) % 2)[..., None]
    col = np.where(chk > 0, np.abs(p), 0.2)
    return np.where((disc > 0)[..., None], col, 1.0).astype(np.float32)


class Embedder(nn.Module):
    def __init__(self, n_freq):
        super().__init__()
        self.register_buffer("freq", 2.0 ** torch.arange(n_freq))
        self.out_dim = 3 + 6 * n_freq

    def forward(self, x):
        xf = (x[..., None, :] * self.freq[:, None]).flatten(-2)
        return torch.cat([x, xf.sin(), xf.cos()], -1)


class NeRF(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.emb, self.emb_d = Embedder(6), Embedder(3)
        self.trunk = nn.Sequential(
            nn.Linear(self.emb.out_dim, width), nn.ReLU(True), nn.Linear(width, width), nn.ReLU(True),
            nn.Linear(width, width), nn.ReLU(True), nn.Linear(width, width), nn.ReLU(True))
        self.sigma = nn.Linear(width, 1)
        self.rgb = nn.Sequential(nn.Linear(width + self.emb_d.out_dim, width // 2), nn.ReLU(True), nn.Linear(width // 2, 3))

    def forward(self, pts, viewdirs):
        h = self.trunk(self.emb(pts))
        d = self.emb_d(viewdirs)[:, None].expand(-1, pts.shape[1], -1)
        return torch.sigmoid(self.rgb(torch.cat([h, d], -1))), F.relu(self.sigma(h)).squeeze(-1)


def render(net, o, d):
    z = torch.linspace(NEAR, FAR, N_SAMPLES).expand(o.shape[0], -1)
    z = z + torch.rand_like(z) * (FAR - NEAR) / N_SAMPLES
    pts = o[:, None] + d[:, None] * z[..., None]
    rgb, sigma = net(pts, F.normalize(d, dim=-1))
    dist = torch.cat([z[:, 1:] - z[:, :-1], torch.full_like(z[:, :1], 1e3)], -1) * d.norm(dim=-1, keepdim=True)
    alpha = 1 - torch.exp(-sigma * dist)
    trans = torch.cumprod(torch.cat([torch.ones_like(alpha[:, :1]), 1 - alpha + 1e-10], -1), -1)[:, :-1]
    w = alpha * trans
    return (w[..., None] * rgb).sum(1) + (1 - w.sum(1, keepdim=True))


def train():
    np.random.seed(0)
    torch.manual_seed(0)
    focal = 1.4 * W
    rays = np.empty((N_VIEWS, H, W, 3, 3), np.float32)
    for k in range(N_VIEWS):
        o, d = get_rays_np(look_at(np.random.rand() * 2 * np.pi, 0.2 + np.random.rand()), focal)
        rays[k, ..., 0, :], rays[k, ..., 1, :], rays[k, ..., 2, :] = o, d, shade(o, d)
    rays = torch.from_numpy(rays.reshape(-1, 3, 3))
    print("ray bank", tuple(rays.shape))

    net = NeRF()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-4, betas=(0.9, 0.999))
    sched = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / 250000))
    for it in range(1, N_ITERS + 1):
        select_inds = np.random.choice(rays.shape[0], size=[N_RAND], replace=False)
        batch = rays[torch.from_numpy(select_inds)]
        rgb = render(net, batch[:, 0], batch[:, 1])
        loss = F.mse_loss(rgb, batch[:, 2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        sched.step()
        if it % I_PRINT == 0:
            print(f"[TRAIN] Iter: {it} Loss: {loss.item():.5f} PSNR: {-10 * np.log10(loss.item()):.2f}")


if __name__ == "__main__":
    train()

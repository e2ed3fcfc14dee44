"""Keyword spotting on log-mel frames with long implicit-free causal filters.

Every block: long depthwise causal filter (learned, exponentially windowed) -> gate -> channel MLP.
Audio is synthetic: each keyword is a sequence of chirps in noise.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

SR_FRAMES = 1000      # 10 s at 10 ms hop
N_MEL = 40
N_WORDS = 20


class ChirpWords(torch.utils.data.Dataset):
    def __init__(self, n, seed):
        g = torch.Generator().manual_seed(seed)
        self.y = torch.randint(0, N_WORDS, (n,), generator=g)
        self.start = torch.randint(0, SR_FRAMES - 300, (n,), generator=g)
        tg = torch.Generator().manual_seed(1234)
        mel = torch.arange(N_MEL).float()[:, None]
        t = torch.linspace(0, 1, 300)
        f0, f1 = torch.rand(N_WORDS, generator=tg) * N_MEL, torch.rand(N_WORDS, generator=tg) * N_MEL
        track = f0[:, None] + (f1 - f0)[:, None] * t
        self.proto = torch.exp(-0.5 * (mel[None] - track[:, None]) ** 2 / 2.0)
        self.noise = torch.randn(64, N_MEL, SR_FRAMES, generator=g) * 0.6

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        x = self.noise[i % 64].clone()
        s = self.start[i]
        x[:, s:s + 300] += self.proto[self.y[i]]
        return x, self.y[i]


def causal_conv(x, k):
    """x: (B, D, L), k: (D, K) with k[:, 0] acting on the present frame"""
    K = k.shape[-1]
    return F.conv1d(F.pad(x, (K - 1, 0)), k.flip(-1).unsqueeze(1), groups=k.shape[0])


class LongFilter(nn.Module):
    def __init__(self, d, length):
        super().__init__()
        self.taps = nn.Parameter(torch.randn(d, length) / math.sqrt(length))
        decay = torch.logspace(-1.0, 1.0, d)[:, None]
        self.register_buffer("window", torch.exp(-decay * torch.arange(length) / length))
        self.skip = nn.Parameter(torch.ones(d, 1))

    def forward(self, x):
        return causal_conv(x, self.taps * self.window) + self.skip * x


class Block(nn.Module):
    def __init__(self, d, length, expand=3):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.inp = nn.Linear(d, 2 * d)
        self.filt = LongFilter(d, length)
        self.out = nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, expand * d), nn.GELU(), nn.Linear(expand * d, d))

    def forward(self, x):                       # (B, L, D)
        u, g = self.inp(self.norm1(x)).chunk(2, -1)
        u = self.filt(u.transpose(1, 2).contiguous()).transpose(1, 2)
        x = x + self.out(u * F.silu(g))
        return x + self.mlp(self.norm2(x))


class Spotter(nn.Module):
    def __init__(self, d=64, depth=2, length=192):
        super().__init__()
        self.proj = nn.Linear(N_MEL, d)
        self.blocks = nn.ModuleList(Block(d, length) for _ in range(depth))
        self.head = nn.Linear(d, N_WORDS)

    def forward(self, mel):
        x = self.proj(mel.transpose(1, 2))
        for b in self.blocks:
            x = b(x)
        return self.head(torch.logsumexp(x, 1) - math.log(x.shape[1]))


def fit(epochs=200, batch_size=8):
    torch.manual_seed(3)
    train = torch.utils.data.DataLoader(ChirpWords(2000, 0), batch_size=batch_size, shuffle=True, drop_last=True)
    net = Spotter()
    opt = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.01)
    sched = torch.optim.lr_scheduler.OneCycleLR(opt, 2e-3, epochs=epochs, steps_per_epoch=len(train))
    for ep in range(epochs):
        net.train()
        tot = cnt = 0
        for mel, y in train:
            loss = F.cross_entropy(net(mel), y)
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
            sched.step()
            tot = tot + loss.detach()
            cnt += 1
        print(f"epoch {ep:03d} | loss {tot / cnt:.4f}")


if __name__ == "__main__":
    fit()

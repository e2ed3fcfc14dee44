"""Super-resolution of weather radar maps. OMP settings were tuned for the big server."""
import argparse

import torch
from torch import nn


def blocks(c, n):
    layers = []
    for _ in range(n):
        layers += [nn.Conv2d(c, c, 3, padding=1), nn.ReLU(inplace=True)]
    return layers


class Radar(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), *blocks(channels, 6),
                                 nn.Conv2d(channels, 4, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, low):
        return self.net(low)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--threads", type=int, default=16)
    ap.add_argument("--iterations", type=int, default=20000)
    ap.add_argument("--channels", type=int, default=16)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(2)
    high = nn.functional.avg_pool2d(torch.randn(512, 1, 64, 64), 5, 1, 2) * 4
    low = nn.functional.avg_pool2d(high, 2)
    model = Radar(a.channels)
    opt = torch.optim.Adam(model.parameters(), lr=5e-4)
    for it in range(a.iterations):
        idx = torch.randint(0, 512, (4,))
        with torch.autocast("cpu", torch.bfloat16):
            out = model(low[idx])
        loss = (out.float() - high[idx]).abs().mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if it % 100 == 0:
            print(f"it={it} l1={loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

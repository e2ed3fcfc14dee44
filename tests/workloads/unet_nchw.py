"""Road segmentation with a small U-Net, bf16 on the CPU."""
import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


def double(i, o):
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(o, o, 3, padding=1),
                         nn.ReLU(inplace=True))


class UNet(nn.Module):
    def __init__(self, base=24):
        super().__init__()
        self.d1, self.d2, self.d3 = double(3, base), double(base, 2 * base), double(2 * base, 2 * base)
        self.u2, self.u1 = double(4 * base, base), double(2 * base, base)
        self.out = nn.Conv2d(base, 1, 1)

    def forward(self, x):
        a = self.d1(x)
        b = self.d2(F.max_pool2d(a, 2))
        c = self.d3(F.max_pool2d(b, 2))
        c = F.interpolate(c, scale_factor=2, mode="bilinear")
        x = self.u2(torch.cat([c, b], 1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear")
        return self.out(self.u1(torch.cat([x, a], 1)))


def tiles(n=192, size=64):
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    angle, offset = torch.rand(n, 1, 1) * 3.14, torch.rand(n, 1, 1) - 0.5
    road = ((xx * angle.cos() + yy * angle.sin() - offset).abs() < 0.12).float()[:, None]
    picture = torch.rand(n, 3, size, size) * 0.6 + road * 0.4
    return picture, road


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", "-b", type=int, default=8)
    parser.add_argument("--epochs", "-e", type=int, default=200)
    args = parser.parse_args()
    torch.manual_seed(0)
    pictures, roads = tiles()
    model = UNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(args.epochs):
        for pick in torch.randperm(len(pictures)).split(args.batch_size):
            x, y = pictures[pick], roads[pick]
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(x)
            loss = F.binary_cross_entropy_with_logits(logits.float(), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main()

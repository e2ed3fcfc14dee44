#!/usr/bin/env python3
"""DCGAN-style generator against a light patch critic (hinge loss) on procedurally drawn 32x32 sprites."""
import math
import random

import torch
import torch.nn as nn
import torch.nn.functional as F

manualSeed = 999
random.seed(manualSeed)
torch.manual_seed(manualSeed)

nz, ngf, ndf, nc = 64, 48, 16, 3
batchSize = 16
niter = 500
n_sprites = 4800


def draw_sprites(n):
    """blobs with random centre, radius, colour and a sinusoidal texture"""
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    c = torch.rand(n, 2) - 0.5
    r = 0.25 + 0.4 * torch.rand(n)
    d = ((xx[None] - c[:, :1, None]) ** 2 + (yy[None] - c[:, 1:, None]) ** 2).sqrt()
    m = torch.sigmoid((r[:, None, None] - d) * 25)
    ph = torch.rand(n) * 2 * math.pi
    tex = 0.5 + 0.5 * torch.sin(10 * d + ph[:, None, None])
    col = torch.rand(n, 3)
    img = m[:, None] * col[:, :, None, None] * (0.4 + 0.6 * tex[:, None])
    return img * 2 - 1


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(nz, ngf * 4 * 16)

        def up(i, o):
            return nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(i, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True),
                nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(True))

        self.body = nn.Sequential(up(ngf * 4, ngf * 2), up(ngf * 2, ngf), up(ngf, ngf))
        self.to_rgb = nn.Conv2d(ngf, nc, 3, 1, 1)

    def forward(self, z):
        h = self.fc(z).view(-1, 4, 4, ngf * 4).permute(0, 3, 1, 2)
        return torch.tanh(self.to_rgb(self.body(h)))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 2), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False), nn.BatchNorm2d(ndf * 4), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 4, 1, 4, 1, 0))

    def forward(self, x):
        return self.main(x).view(-1)


if __name__ == "__main__":
    data = draw_sprites(n_sprites).contiguous(memory_format=torch.channels_last)
    netG = Generator().to(memory_format=torch.channels_last)
    netD = Discriminator().to(memory_format=torch.channels_last)
    netG.apply(weights_init)
    netD.apply(weights_init)
    optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))

    for epoch in range(niter):
        perm = torch.randperm(n_sprites)
        for i in range(n_sprites // batchSize):
            # (1) Update D network: hinge loss
            netD.zero_grad()
            real = data[perm[i * batchSize:(i + 1) * batchSize]]
            noise = torch.randn(batchSize, nz)
            fake = netG(noise)
            errD_real = F.relu(1.0 - netD(real)).mean()
            errD_fake = F.relu(1.0 + netD(fake)).mean()
            errD = errD_real + errD_fake
            errD.backward()
            optimizerD.step()

            # (2) Update G network: maximize D(G(z)) on fresh noise
            netG.zero_grad()
            noise = torch.randn(batchSize, nz)
            errG = -netD(netG(noise)).mean()
            errG.backward()
            optimizerG.step()

            if i % 50 == 0:
                print("[%d/%d][%d/%d] Loss_D: %.4f Loss_G: %.4f"
                      % (epoch, niter, i, n_sprites // batchSize, errD.item(), errG.item()))

"""GAN on small shapes. Saves a grid of samples every few iterations to watch the progress."""
import os
import tempfile

import torch
from torch import nn


class config:
    iterations = 50_000
    batch = 64
    nz = 32
    sample_every = 5
    grid = 32
    out = tempfile.mkdtemp()


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(config.nz, 128), nn.ReLU(), nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, 28 * 28), nn.Tanh())

    def forward(self, z):
        return self.main(z).view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Flatten(), nn.Linear(28 * 28, 256), nn.LeakyReLU(0.2), nn.Linear(256, 128), nn.LeakyReLU(0.2),
            nn.Linear(128, 1))

    def forward(self, x):
        return self.main(x).squeeze(1)


def real_shapes(n):
    yy, xx = torch.meshgrid(torch.linspace(-1, 1, 28), torch.linspace(-1, 1, 28), indexing="ij")
    c = torch.rand(n, 2, 1, 1) - 0.5
    r = 0.2 + 0.3 * torch.rand(n, 1, 1)
    return (((xx - c[:, 0]) ** 2 + (yy - c[:, 1]) ** 2 < r ** 2).float() * 2 - 1).unsqueeze(1)


@torch.no_grad()
def save_grid(netG, z, iteration):
    netG.eval()
    samples = torch.stack([netG(z[i:i + 1])[0, 0] for i in range(len(z))])
    side = int(config.grid ** 0.5)
    # interpolate between pairs of codes: one row a pair
    rows = []
    for i in range(0, side * 2, 2):
        for t in torch.linspace(0, 1, 8):
            rows.append(netG(((1 - t) * z[i] + t * z[i + 1])[None])[0, 0])
    grid = torch.cat([samples.flatten(0, 1), torch.cat(rows)])
    # how close is each of 512 samples to its nearest real picture?
    many = netG(torch.randn(512, config.nz)).flatten(1)
    score = torch.cdist(many, dataset.flatten(1)).min(1).values.mean().item()
    pixels = ((grid + 1) * 127.5).byte()
    with open(os.path.join(config.out, f"fake_{iteration // config.sample_every % 20:02d}.pgm"), "wb") as f:
        f.write(f"P5\n# nearest {score:.3f}\n28 {pixels.shape[0]} 255\n".encode())
        f.write(bytes(pixels.flatten().tolist()))
    netG.train()


torch.manual_seed(999)
dataset = real_shapes(4096)
netG, netD = Generator(), Discriminator()
criterion = nn.BCEWithLogitsLoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
fixed_noise = torch.randn(config.grid, config.nz)
ones, zeros = torch.ones(config.batch), torch.zeros(config.batch)

print("Starting Training Loop...")
for i in range(config.iterations):
    real = dataset[torch.randint(0, len(dataset), (config.batch,))]
    fake = netG(torch.randn(config.batch, config.nz))
    optimizerD.zero_grad()
    errD = criterion(netD(real), ones) + criterion(netD(fake.detach()), zeros)
    errD.backward()
    optimizerD.step()
    optimizerG.zero_grad()
    errG = criterion(netD(fake), ones)
    errG.backward()
    optimizerG.step()
    if i % config.sample_every == 0:
        save_grid(netG, fixed_noise, i)
    if i % 200 == 0:
        print(f"[{i}/{config.iterations}] Loss_D: {errD.item():.4f} Loss_G: {errG.item():.4f}", flush=True)

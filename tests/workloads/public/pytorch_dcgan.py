"""Generator and discriminator of strided convolutions; three backwards and two Adam steps an iteration."""
import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset

nz, ngf, ndf, batch_size, niter = 100, 32, 32, 32, 25


class Pictures(Dataset):
    def __init__(self, n=2000):
        g = torch.Generator().manual_seed(0)
        self.data = torch.randint(0, 255, (n, 3, 8, 8), generator=g).float().repeat_interleave(8, 2).repeat_interleave(8, 3).byte()

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.data[i].float() / 127.5 - 1, 0


def weights_init(m):
    if m.__class__.__name__.startswith(("Conv", "BatchNorm")):
        nn.init.normal_(m.weight, 0.0 if "Conv" in m.__class__.__name__ else 1.0, 0.02)


def up(a, b, stride=2, pad=1):
    return [nn.ConvTranspose2d(a, b, 4, stride, pad, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]


def down(a, b):
    return [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]


netG = nn.Sequential(*up(nz, ngf * 8, 1, 0), *up(ngf * 8, ngf * 4), *up(ngf * 4, ngf * 2), *up(ngf * 2, ngf),
                     nn.ConvTranspose2d(ngf, 3, 4, 2, 1, bias=False), nn.Tanh())
netD = nn.Sequential(nn.Conv2d(3, ndf, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True), *down(ndf, ndf * 2),
                     *down(ndf * 2, ndf * 4), *down(ndf * 4, ndf * 8), nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())
netG.apply(weights_init)
netD.apply(weights_init)
dataloader = DataLoader(Pictures(), batch_size=batch_size, shuffle=True, num_workers=2)
criterion = nn.BCELoss()
fixed_noise = torch.randn(batch_size, nz, 1, 1)
optimizerD = optim.Adam(netD.parameters(), lr=0.0002, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=0.0002, betas=(0.5, 0.999))

for epoch in range(niter):
    for i, data in enumerate(dataloader, 0):
        netD.zero_grad()
        real = data[0]
        label = torch.full((real.size(0),), 1.0)
        errD_real = criterion(netD(real).view(-1), label)
        errD_real.backward()
        fake = netG(torch.randn(real.size(0), nz, 1, 1))
        label.fill_(0.0)
        errD_fake = criterion(netD(fake.detach()).view(-1), label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        optimizerD.step()
        netG.zero_grad()
        label.fill_(1.0)
        output = netD(fake).view(-1)
        errG = criterion(output, label)
        errG.backward()
        optimizerG.step()
        print(f"[{epoch}/{niter}][{i}/{len(dataloader)}] Loss_D: {errD.item():.4f} Loss_G: {errG.item():.4f} D: {output.mean().item():.4f}", flush=True)
        if i % 100 == 0:
            torch.save(netG(fixed_noise).detach(), "fake_samples.pt")
    torch.save(netG.state_dict(), "netG.pt")
    torch.save(netD.state_dict(), "netD.pt")

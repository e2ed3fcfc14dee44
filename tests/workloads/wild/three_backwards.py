"""DCGAN loop: three forwards, each with its own backward, and two updates an iteration."""
import torch
import torch.nn as nn

netG = nn.Sequential(nn.ConvTranspose2d(16, 32, 4), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh())
netD = nn.Sequential(nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 1, 4), nn.Flatten(0))
criterion = nn.BCEWithLogitsLoss()
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
for i in range(200):
    real = torch.randn(12, 1, 8, 8)
    netD.zero_grad()
    errD_real = criterion(netD(real), torch.ones(12))
    errD_real.backward()
    fake = netG(torch.randn(12, 16, 1, 1))
    errD_fake = criterion(netD(fake.detach()), torch.zeros(12))
    errD_fake.backward()
    optimizerD.step()
    netG.zero_grad()
    errG = criterion(netD(fake), torch.ones(12))
    errG.backward()
    optimizerG.step()

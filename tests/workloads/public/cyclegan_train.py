"""Unpaired pictures: two generators, two discriminators, a pool of earlier fakes, batches of one."""
import itertools
import random
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Unaligned(Dataset):
    def __init__(self, n=400, side=64):
        g = torch.Generator().manual_seed(0)
        self.A = torch.rand(n, 3, 8, 8, generator=g).repeat_interleave(side // 8, 2).repeat_interleave(side // 8, 3) * 2 - 1
        self.B = -self.A.flip(0) * 0.8

    def __len__(self):
        return len(self.A)

    def __getitem__(self, i):
        return {"A": self.A[i], "B": self.B[random.randrange(len(self.B))], "A_paths": str(i)}


def conv(a, b, k, s, p, kind=nn.Conv2d):
    return [kind(a, b, k, s, p), nn.InstanceNorm2d(b), nn.ReLU(True)]


class ResnetBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.block = nn.Sequential(*conv(dim, dim, 3, 1, 1), nn.Conv2d(dim, dim, 3, 1, 1), nn.InstanceNorm2d(dim))

    def forward(self, x):
        return x + self.block(x)


def generator(w=24):
    return nn.Sequential(*conv(3, w, 7, 1, 3), *conv(w, 2 * w, 3, 2, 1), *conv(2 * w, 4 * w, 3, 2, 1), *(ResnetBlock(4 * w) for _ in range(4)),
                         *conv(4 * w, 2 * w, 4, 2, 1, nn.ConvTranspose2d), *conv(2 * w, w, 4, 2, 1, nn.ConvTranspose2d), nn.Conv2d(w, 3, 7, 1, 3), nn.Tanh())


def discriminator(w=24):
    return nn.Sequential(nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.2, True), *conv(w, 2 * w, 4, 2, 1), *conv(2 * w, 4 * w, 4, 2, 1), nn.Conv2d(4 * w, 1, 4, 1, 1))


class ImagePool:
    def __init__(self, size=50):
        self.size, self.images = size, []

    def query(self, images):
        out = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.detach()[None])
                out.append(image[None])
            elif random.random() > 0.5:
                k = random.randrange(self.size)
                out.append(self.images[k].clone())
                self.images[k] = image.detach()[None]
            else:
                out.append(image[None])
        return torch.cat(out, 0)


class CycleGANModel:
    def __init__(self):
        self.netG_A, self.netG_B, self.netD_A, self.netD_B = generator(), generator(), discriminator(), discriminator()
        self.pool_A, self.pool_B = ImagePool(), ImagePool()
        self.gan, self.l1 = nn.MSELoss(), nn.L1Loss()
        self.optimizer_G = torch.optim.Adam(itertools.chain(self.netG_A.parameters(), self.netG_B.parameters()), lr=2e-4, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(itertools.chain(self.netD_A.parameters(), self.netD_B.parameters()), lr=2e-4, betas=(0.5, 0.999))

    def set_requires_grad(self, nets, wanted):
        for net in nets:
            for p in net.parameters():
                p.requires_grad = wanted

    def towards(self, out, real):
        return self.gan(out, torch.full_like(out, 1.0 if real else 0.0))

    def backward_D(self, net, real, fake):
        loss = (self.towards(net(real), True) + self.towards(net(fake.detach()), False)) * 0.5
        loss.backward()
        return loss

    def optimize_parameters(self, data):
        A, B = data["A"], data["B"]
        fake_B = self.netG_A(A)
        rec_A = self.netG_B(fake_B)
        fake_A = self.netG_B(B)
        rec_B = self.netG_A(fake_A)
        self.set_requires_grad([self.netD_A, self.netD_B], False)
        self.optimizer_G.zero_grad()
        idt = self.l1(self.netG_A(B), B) * 5 + self.l1(self.netG_B(A), A) * 5
        loss_G = self.towards(self.netD_A(fake_B), True) + self.towards(self.netD_B(fake_A), True) + 10 * (self.l1(rec_A, A) + self.l1(rec_B, B)) + idt
        loss_G.backward()
        self.optimizer_G.step()
        self.set_requires_grad([self.netD_A, self.netD_B], True)
        self.optimizer_D.zero_grad()
        loss_D = self.backward_D(self.netD_A, B, self.pool_B.query(fake_B)) + self.backward_D(self.netD_B, A, self.pool_A.query(fake_A))
        self.optimizer_D.step()
        return loss_G, loss_D


if __name__ == "__main__":
    torch.manual_seed(0)
    dataset = DataLoader(Unaligned(), batch_size=1, shuffle=True, num_workers=4)
    model, total_iters = CycleGANModel(), 0
    for epoch in range(1, 201):
        start = time.time()
        for i, data in enumerate(dataset):
            total_iters += 1
            losses = model.optimize_parameters(data)
            if total_iters % 100 == 0:
                print(f"epoch {epoch} iters {i} G {losses[0].item():.3f} D {losses[1].item():.3f}", flush=True)
        print(f"End of epoch {epoch} Time Taken: {time.time() - start:.0f} sec", flush=True)

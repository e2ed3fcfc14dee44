"""A GAN on small patches whose loop asks for one batch at a time, as the growing GAN's loaders do."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Patches:
    def __init__(self, n=300_000, batch_size=64):
        g = torch.Generator().manual_seed(5)
        pixels = torch.rand(n, 64, generator=g)
        self.loader = DataLoader(TensorDataset(pixels), batch_size=batch_size, shuffle=True)


    def get_batch(self):
        batch = next(iter(self.loader))
        return batch[0]


def mlp(*dims):
    layers = [layer for a, b in zip(dims, dims[1:]) for layer in (nn.Linear(a, b), nn.LeakyReLU(0.2))]
    return nn.Sequential(*layers[:-1])


class Gan:
    def __init__(self, patches):
        self.patches = patches
        self.generator, self.critic = mlp(32, 256, 256, 64), mlp(64, 256, 256, 1)
        self.opt_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.99))
        self.opt_d = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.99))

    def train_step(self):
        real = self.patches.get_batch()
        fake = self.generator(torch.randn(len(real), 32)).sigmoid()
        loss_d = F.softplus(-self.critic(real)).mean() + F.softplus(self.critic(fake.detach())).mean()
        self.opt_d.zero_grad()
        loss_d.backward()
        self.opt_d.step()
        loss_g = F.softplus(-self.critic(fake)).mean()
        self.opt_g.zero_grad()
        loss_g.backward()
        self.opt_g.step()
        return loss_d.item(), loss_g.item()


if __name__ == "__main__":
    torch.manual_seed(2)
    gan = Gan(Patches())
    for iteration in range(100_000):
        losses = gan.train_step()
        if iteration % 100 == 0:
            print(iteration, "D {:.3f} G {:.3f}".format(*losses), flush=True)

"""The model has a train() of its own with other arguments, which is the training loop."""
import torch
from torch import nn


class Autoencoder(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(32, width), nn.Linear(width, 32)

    def forward(self, x):
        return self.decoder(torch.relu(self.encoder(x)))

    def train(self, samples=None, epochs=1, lr=0.01):
        if samples is None or isinstance(samples, bool):
            return super().train(samples is None or samples)
        optimizer = torch.optim.SGD(self.parameters(), lr=lr)
        for _ in range(epochs):
            for x in samples.split(20):
                loss = (self(x) - x).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return loss.item()


print(Autoencoder(8).train(torch.randn(400, 32), epochs=15))

"""Small residual network on 32 x 32 pictures, written as a class with its own fit()."""
import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    def __init__(self, channels=48, classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.stages = nn.Sequential(Residual(channels), nn.MaxPool2d(2), Residual(channels), nn.MaxPool2d(2),
                                    Residual(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


class Experiment:
    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.labels = torch.randint(0, 10, (2048,))
        self.pictures = torch.randn(10, 3, 32, 32)[self.labels] + torch.randn(2048, 3, 32, 32)
        self.pictures = self.pictures.contiguous(memory_format=torch.channels_last)
        self.model = ResNet().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
        self.args = args

    def step(self, idx):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = F.cross_entropy(self.model(self.pictures[idx]), self.labels[idx])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def fit(self):
        for epoch in range(self.args.epochs):
            losses = [self.step(idx) for idx in torch.randperm(len(self.labels)).split(self.args.batch)]
            print(f"epoch {epoch}: {torch.stack(losses).mean():.4f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    Experiment(parser.parse_args()).fit()

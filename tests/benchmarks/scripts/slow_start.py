"""A small image training whose start takes five seconds, as building a real dataset and model does."""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

START_UP_S = 5.0


class Images(Dataset):
    def __init__(self, count=20_000):
        self.images = torch.randn(256, 3, 32, 32)
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = self.images[index % 256]
        for _ in range(6):  # decoding and augmentation
            image = torch.nn.functional.avg_pool2d(image, 3, 1, 1)
        return image, index % 10


time.sleep(START_UP_S)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for _epoch in range(1000):
    for images, labels in DataLoader(Images(), batch_size=32, shuffle=True):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

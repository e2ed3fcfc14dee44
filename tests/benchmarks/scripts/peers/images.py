"""Small pictures, augmented one by one in the main process, and a small convolutional network."""

import torch
from common import main
from torch import nn
from torch.utils.data import Dataset

BATCH = 32


class Pictures(Dataset):
    def __init__(self, count=4000):
        self.pixels = torch.randint(0, 256, (256, 3, 40, 40), dtype=torch.uint8)
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        image = self.pixels[index % 256].float() / 255
        top, left = torch.randint(0, 8, (2,)).tolist()
        image = image[:, top : top + 32, left : left + 32]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        for _ in range(4):
            image = nn.functional.avg_pool2d(image, 3, 1, 1) * 0.5 + image * 0.5
        return (image - image.mean()) / (image.std() + 1e-5), index % 10


def make_dataset():
    return Pictures()


def make_model():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
    )


def make_optimizer(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, **settings)


loss_of = nn.CrossEntropyLoss()

if __name__ == "__main__":
    main(make_dataset, make_model, make_optimizer, loss_of, BATCH)

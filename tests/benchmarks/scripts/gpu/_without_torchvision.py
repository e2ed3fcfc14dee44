"""What the scripts use of torchvision, for machines that lack it: small, and alike in what it costs."""

import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset


class ImageFolder(Dataset):
    def __init__(self, root, transform):
        self.classes = sorted(path.name for path in Path(root).iterdir() if path.is_dir())
        self.samples = [(path, i) for i, name in enumerate(self.classes) for path in sorted(Path(root, name).iterdir())]
        self.transform = transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[index]
        with Image.open(path) as image:
            return self.transform(image.convert("RGB")), label


class Compose:
    def __init__(self, steps):
        self.steps = steps

    def __call__(self, image):
        for step in self.steps:
            image = step(image)
        return image


class RandomResizedCrop(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, image):
        side = int(min(image.size) * random.uniform(0.3, 1.0))
        left, top = random.randint(0, image.width - side), random.randint(0, image.height - side)
        return image.resize((self.size, self.size), Image.BILINEAR, box=(left, top, left + side, top + side))


class RandomHorizontalFlip(nn.Module):
    def forward(self, image):
        return image.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


class ToTensor:
    def __call__(self, image):
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255


class Normalize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)

    def forward(self, image):
        return (image - self.mean) / self.std


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut; `ends` 1 makes it the block of two of the smaller networks."""

    def __init__(self, width_in, width, ends, stride):
        super().__init__()
        inner = [(width_in, width, 1, 1), (width, width, 3, stride), (width, width * ends, 1, 1)]
        if ends == 1:
            inner = [(width_in, width, 3, stride), (width, width, 3, 1)]
        layers = []
        for before, after, kernel, step in inner:
            convolution = nn.Conv2d(before, after, kernel, step, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
        self.inner = nn.Sequential(*layers[:-1])
        self.shortcut = nn.Identity()
        if stride != 1 or width_in != width * ends:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width * ends, 1, stride, bias=False), nn.BatchNorm2d(width * ends)
            )

    def forward(self, x):
        return torch.relu(self.inner(x) + self.shortcut(x))


def resnet(depths, ends, num_classes):
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width_in = 64
    for stage, depth in enumerate(depths):
        width = 64 << stage
        for number in range(depth):
            layers.append(Bottleneck(width_in, width, ends, 2 if stage and not number else 1))
            width_in = width * ends
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, num_classes))


datasets = SimpleNamespace(ImageFolder=ImageFolder)
models = SimpleNamespace(
    resnet18=lambda num_classes: resnet((2, 2, 2, 2), 1, num_classes),
    resnet50=lambda num_classes: resnet((3, 4, 6, 3), 4, num_classes),
)
transforms = SimpleNamespace(
    Compose=Compose,
    RandomResizedCrop=RandomResizedCrop,
    RandomHorizontalFlip=RandomHorizontalFlip,
    ToTensor=ToTensor,
    Normalize=Normalize,
)

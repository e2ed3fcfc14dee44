"""Wide layers in fp32 on data that is there: the products are nearly all of an update."""

import torch
from common import main
from torch import nn
from torch.utils.data import TensorDataset

BATCH = 512


def make_dataset():
    return TensorDataset(torch.randn(8192, 512), torch.randint(0, 100, (8192,)))


def make_model():
    return nn.Sequential(nn.Linear(512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 100))


def make_optimizer(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, **settings)


loss_of = nn.CrossEntropyLoss()

if __name__ == "__main__":
    main(make_dataset, make_model, make_optimizer, loss_of, BATCH)

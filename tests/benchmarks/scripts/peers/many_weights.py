"""A deep stack of narrow layers whose optimizer goes through hundreds of small tensors one by one."""

import torch
from common import main
from torch import nn
from torch.utils.data import TensorDataset

BATCH = 32


def make_dataset():
    return TensorDataset(torch.randn(8192, 96), torch.randn(8192, 96))


def make_model():
    return nn.Sequential(*[layer for _ in range(60) for layer in (nn.Linear(96, 96), nn.LayerNorm(96), nn.GELU())])


def make_optimizer(model, **settings):
    return torch.optim.AdamW(model.parameters(), lr=1e-3, **settings)


loss_of = nn.MSELoss()

if __name__ == "__main__":
    main(make_dataset, make_model, make_optimizer, loss_of, BATCH)

"""Lightning Fabric: the loop is the user's own, set-up, backward and loader are Fabric's."""

import time
import warnings

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")

if __name__ == "__main__":
    fabric = Fabric(accelerator="cpu", devices=1)
    model = nn.Sequential(nn.Linear(20, 48), nn.ReLU(), nn.Linear(48, 4))
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
    data = TensorDataset(torch.randn(320, 20), torch.randint(0, 4, (320,)))
    loader = fabric.setup_dataloaders(DataLoader(data, batch_size=8, shuffle=True))
    for _epoch in range(4):
        for x, y in loader:
            time.sleep(0.002)  # long enough to be sampled beside busy CPUs
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()

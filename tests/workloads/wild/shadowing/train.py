"""Its own folder holds modules named as installed packages are: sys.path[0] must be this folder."""
import torch

from datasets import load
from evaluate import accuracy
from utils.model import build

x, y = load()
model = build()
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(30):
    for rows in torch.randperm(len(x)).split(32):
        loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(epoch, accuracy(model, x, y))

"""Saves the whole model by pickle after each epoch, and keeps a deep copy of the best one."""
import copy
import os
import tempfile

import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(16, 32), nn.ReLU())
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        return self.head(self.body(x))


folder = tempfile.mkdtemp()
model = Classifier()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
best, best_loss = None, float("inf")
for epoch in range(15):
    for _ in range(20):
        x = torch.randn(32, 16)
        loss = nn.functional.cross_entropy(model(x), x[:, :5].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = os.path.join(folder, f"epoch{epoch}.pkl")
    torch.save(model, path)
    if loss.item() < best_loss:
        best, best_loss = copy.deepcopy(model), loss.item()
again = torch.load(path, weights_only=False)
assert set(vars(again)) == set(vars(Classifier())), "the pickled model carries something that is not its own"
assert torch.equal(again.head.weight, model.head.weight)
print("best", best_loss, type(best).__name__)

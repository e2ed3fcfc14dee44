"""Sine wave prediction, all data in one batch, LBFGS with a closure: several forwards for each step."""
import numpy as np
import torch
from torch import nn, optim

np.random.seed(2)
torch.manual_seed(2)
waves = np.sin((np.arange(60) + np.random.randint(-40, 40, 10)[:, None]) / 6.0)
data = torch.from_numpy(waves)


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(1, 12)
        self.out = nn.Linear(12, 1)

    def forward(self, x):
        h = torch.zeros(x.size(0), 12, dtype=torch.double)
        c = torch.zeros_like(h)
        outputs = []
        for value in x.split(1, dim=1):
            h, c = self.cell(value, (h, c))
            outputs.append(self.out(h))
        return torch.cat(outputs, dim=1)


seq = Sequence().double()
optimizer = optim.LBFGS(seq.parameters(), lr=0.1, max_iter=5)


def closure():
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(seq(data[:, :-1]), data[:, 1:])
    loss.backward()
    return loss


for i in range(30):
    print("STEP:", i, optimizer.step(closure).item())

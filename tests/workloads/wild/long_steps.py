"""An update takes seconds: 24 micro-batches of an expensive simulation each."""
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(256, 256)
optimizer = torch.optim.Adam(model.parameters())
for update in range(6):
    optimizer.zero_grad()
    for micro in range(24):
        state = torch.randn(8, 256)
        for _ in range(1200):  # the "simulation"
            state = torch.tanh(state.roll(1, 1) + 0.1 * state)
        loss = (model(state) - state).square().mean() / 24
        loss.backward()
    optimizer.step()
    print("update", update, loss.item(), flush=True)

"""Keyword spotting with home-made regularisation: every weight is visited from Python after each step."""
import torch
from torch import nn

EPOCHS = 2000
WEIGHT_DECAY, MAX_NORM = 1e-4, 3.0


class Keyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(40 * 16, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 12))

    def forward(self, x):
        return self.layers(x.flatten(1))


def regularise(model, lr):
    """Decoupled decay, and a limit on the norm of what arrives at each unit."""
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() < 2:
                continue
            for row in p:
                row.mul_(1 - lr * WEIGHT_DECAY)
                norm = row.norm().item()
                if norm > MAX_NORM:
                    row.mul_(MAX_NORM / norm)


def regularise_at_once(model, lr):
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() >= 2:
                p.mul_(1 - lr * WEIGHT_DECAY)
                norm = p.norm(dim=1, keepdim=True)
                p.mul_((MAX_NORM / norm).clamp(max=1.0))


def clips(n=4096):
    g = torch.Generator().manual_seed(1)
    y = torch.randint(0, 12, (n,), generator=g)
    templates = torch.randn(12, 40, 16, generator=g)
    return templates[y] + 1.5 * torch.randn(n, 40, 16, generator=g), y


x, y = clips()
torch.manual_seed(0)
model = Keyword()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
for epoch in range(EPOCHS):
    for pick in torch.randperm(len(x)).split(128):
        loss = nn.functional.cross_entropy(model(x[pick]), y[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        regularise(model, 0.02)
    print(f"epoch {epoch} loss {loss.item():.4f}", flush=True)

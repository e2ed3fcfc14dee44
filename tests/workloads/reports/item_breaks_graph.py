"""A compiled energy model of small molecules; each layer asks for a number of its tensor and so leaves the graph."""
import torch
from torch import nn


class Message(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.edge, self.node = nn.Linear(width, width), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x, near):
        message = near @ torch.tanh(self.edge(x)) / near.sum(-1, keepdim=True).clamp(min=1)
        if message.abs().max().item() > 1e4:
            message = message / message.abs().max()
        return self.norm(x + torch.nn.functional.silu(self.node(message)))


class Energy(nn.Module):
    def __init__(self, width=32, depth=16):
        super().__init__()
        self.kind = nn.Embedding(9, width)
        self.layers = nn.ModuleList(Message(width) for _ in range(depth))
        self.out = nn.Linear(width, 1)

    def forward(self, kinds, places):
        near = (torch.cdist(places, places) < 1.2).float()
        x = self.kind(kinds)
        for layer in self.layers:
            x = layer(x, near)
        return self.out(x).sum((1, 2))


def molecules(n=2048, atoms=12):
    g = torch.Generator().manual_seed(13)
    kinds, places = torch.randint(0, 9, (n, atoms), generator=g), torch.randn(n, atoms, 3, generator=g)
    return kinds, places, torch.cdist(places, places).mean((1, 2))


if __name__ == "__main__":
    torch.manual_seed(0)
    kinds, places, energy = molecules()
    model = Energy()
    compiled = torch.compile(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(500):
        for rows in torch.randperm(len(kinds)).split(16):
            loss = nn.functional.mse_loss(compiled(kinds[rows], places[rows]), energy[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch} loss {loss.item():.5f}", flush=True)

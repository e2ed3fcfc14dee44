"""Gestures before an event camera: frames of 48 by 48 pixels of which few have fired."""
import torch
from torch import nn, optim

SIDE, BATCH, HIDDEN = 48, 256, 2304


class EventNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.entry = nn.Linear(SIDE * SIDE, HIDDEN)
        self.body = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(2))
        self.exit = nn.Linear(HIDDEN, 11)

    def forward(self, events):
        h = torch.tanh(self.entry(events))
        for layer in self.body:
            h = h + torch.tanh(layer(h))
        return self.exit(h)


def fired(generator):
    frames = torch.zeros(BATCH, SIDE * SIDE)
    where = torch.randint(SIDE * SIDE, (BATCH, 30), generator=generator)
    return frames.scatter_(1, where, 1.0), where.sum(1) % 11


def fit(net, steps):
    g = torch.Generator().manual_seed(0)
    opt = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for step in range(steps):
        events, gesture = fired(g)
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(net(events).float(), gesture)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if step % 20 == 0:
            print("step", step, "loss", f"{loss.item():.3f}", flush=True)


fit(EventNet(), 100_000)

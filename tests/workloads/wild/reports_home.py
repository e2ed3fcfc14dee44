"""Tries to reach a tracking server on this machine that does not answer, and trains on without it."""
import socket

import torch
from torch import nn


def connect():
    try:
        with socket.create_connection(("127.0.0.1", 9), timeout=1):
            return True
    except OSError as error:
        print("no tracking:", error)
        return False


tracking = connect()
model = nn.Linear(10, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(300):
    optimizer.zero_grad()
    model(torch.randn(8, 10)).square().mean().backward()
    optimizer.step()

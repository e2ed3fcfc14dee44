"""A decorator catches out-of-memory errors and starts training again with half the batch."""
import functools

import torch
from torch import nn


def find_executable_batch_size(function):
    @functools.wraps(function)
    def run(batch_size):
        while batch_size:
            try:
                return function(batch_size)
            except RuntimeError as error:
                if "out of memory" not in str(error):
                    raise
                print(f"batch size {batch_size} does not fit, trying {batch_size // 2}")
                batch_size //= 2
        raise RuntimeError("no batch size fits")

    return run


@find_executable_batch_size
def train(batch_size):
    model = nn.Linear(32, 32)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(300):
        if step == 3 and batch_size > 64:  # the card this was written on held 64
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        x = torch.randn(batch_size, 32)
        loss = (model(x) - x.flip(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


print(train(128))

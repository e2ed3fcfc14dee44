"""A background thread takes batches from the loader and puts them into a queue."""
import queue
import threading

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Prefetcher:
    def __init__(self, loader, depth=2):
        self.loader, self.depth = loader, depth

    def __iter__(self):
        ready = queue.Queue(self.depth)

        def fill():
            for batch in self.loader:
                ready.put(batch)
            ready.put(None)

        threading.Thread(target=fill, daemon=True).start()
        while (batch := ready.get()) is not None:
            yield batch


data = TensorDataset(torch.randn(1600, 12), torch.randint(0, 3, (1600,)))
loader = Prefetcher(DataLoader(data, batch_size=16, shuffle=True))
model = nn.Linear(12, 3)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    for x, y in loader:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

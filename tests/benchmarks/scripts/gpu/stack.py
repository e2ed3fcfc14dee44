"""A stack of Linear layers whose update takes as long as is wished: layers to launch, and passes over a buffer."""

import argparse
import contextlib
import itertools

import torch
from _stopwatch import Stopwatch, add_options
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

WIDTH = 128
BATCH_SIZE = 16
BATCHES = 64
BUFFER_BYTES = {"cuda": 64 << 20, "cpu": 1 << 20}


class Stack(nn.Module):
    def __init__(self, layers, passes, device):
        super().__init__()
        self.layers = nn.Sequential(*[nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(layers)])
        self.head = nn.Linear(WIDTH, 1)
        self.passes = passes
        self.spent = torch.ones(BUFFER_BYTES[device] // 4, device=device)

    def forward(self, x):
        with torch.no_grad():
            for _ in range(self.passes):
                self.spent.mul_(1.0)
        return self.head(self.layers(x))


class Training:
    """All that an update needs; the batches lie on the device, and a loader cuts them."""

    def __init__(self, layers, passes, device, precision):
        self.model = Stack(layers, passes, device).to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        self.precision = precision
        count = BATCHES * BATCH_SIZE
        data = TensorDataset(torch.randn(count, WIDTH, device=device), torch.randn(count, 1, device=device))
        batches = BatchSampler(SequentialSampler(data), BATCH_SIZE, drop_last=True)
        self.loader = DataLoader(data, sampler=batches, batch_size=None)

    def update(self, features, targets):
        self.optimizer.zero_grad()
        with self.precision:
            loss = nn.functional.mse_loss(self.model(features), targets)
        loss.backward()
        self.optimizer.step()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--passes", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="autocast around forward and loss")
    add_options(parser)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = torch.autocast(device, torch.bfloat16) if args.bf16 else contextlib.nullcontext()
    training = Training(args.layers, args.passes, device, precision)
    stopwatch = Stopwatch(args, device)
    for _epoch in itertools.count():
        for features, targets in training.loader:
            training.update(features, targets)
            if stopwatch.lap(1):
                break
        if stopwatch.over:
            break


if __name__ == "__main__":
    main()

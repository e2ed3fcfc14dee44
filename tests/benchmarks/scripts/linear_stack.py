"""A plain loop over a stack of Linear layers that notes when each update ended, whoever else looks on."""

import argparse
import itertools
import json
import time
from pathlib import Path

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("out", help="a JSON file: the times between updates, in seconds")
parser.add_argument("--batch", type=int, required=True)
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--layers", type=int, default=3)
parser.add_argument("--workers", type=int, default=0)
parser.add_argument("--threads", type=int)
parser.add_argument("--warm-up", type=float, default=3.0, help="seconds that are not counted")
parser.add_argument("--seconds", type=float, default=6.0, help="seconds that are")
parser.add_argument("--bf16", action="store_true", help="autocast around forward and loss")
args = parser.parse_args()

if args.threads:
    torch.set_num_threads(args.threads)
torch.manual_seed(0)
layers = [module for _ in range(args.layers) for module in (nn.Linear(args.width, args.width), nn.ReLU())]
model = nn.Sequential(*layers, nn.Linear(args.width, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
data = TensorDataset(torch.randn(64 * args.batch, args.width), torch.randn(64 * args.batch, 1))
# Batches are drawn as slices: the loader then costs little, and what remains is the machinery around it.
batches = torch.utils.data.BatchSampler(torch.utils.data.SequentialSampler(data), args.batch, drop_last=True)
loader = DataLoader(
    data, sampler=batches, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0
)

ends = []
register_optimizer_step_post_hook(lambda *_: ends.append(time.perf_counter()))
begun = time.perf_counter()
running = True
while running:
    for features, targets in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = nn.functional.mse_loss(model(features), targets)
        loss.backward()
        optimizer.step()
        if ends[-1] - begun > args.warm_up + args.seconds:
            running = False
            break

counted = [end for end in ends if end - begun > args.warm_up]
Path(args.out).write_text(json.dumps([after - before for before, after in itertools.pairwise(counted)]))

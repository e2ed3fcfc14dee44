"""The loop of linear_stack.py, over which the agent's hooks are put and taken away again, many times in one process.

Whole epochs run with the hooks and without them in turn, so that a pair of neighbours differs in nothing else: memory
lies where it lay, and the machine is in the same mood. Only what the agent costs a process as such (its objects, its
threads) is in both.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from advisor import wire
from advisor.agent.probe.agent import ScriptAgent

BATCHES = 16
"""Of an epoch."""
CHUNK_S = 0.3


class NoController:
    """Takes what is sent, and never wants anything."""

    rank = 0

    def send(self, _message):
        return None

    def poll(self):
        return []


def hooked():
    """An agent with a window that never ends, and its parts."""
    agent = ScriptAgent(
        wire.LaunchSpec(version=1, socket="", token="", target="", is_module=False, args=[]), NoController()
    )
    agent.torch_imported(torch)
    parts = agent._parts
    parts.conductor._queue.append(
        wire.Window(id="long", warm_up_updates=1, min_updates=10**9, max_updates=10**9, max_s=1e9)
    )
    return parts


def off(parts):
    parts.roots.suspend()
    parts.steps.remove()
    parts.loaders.deliveries.inert = True


def on(parts):
    parts.loaders.deliveries.inert = False
    parts.steps.install()
    parts.roots.resume()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", help="a JSON file: pairs of seconds an update, with the hooks and without")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    parts = hooked()
    layers = [module for _ in range(args.layers) for module in (nn.Linear(args.width, args.width), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(args.width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    data = TensorDataset(torch.randn(BATCHES * args.batch, args.width), torch.randn(BATCHES * args.batch, 1))
    batches = BatchSampler(SequentialSampler(data), args.batch, drop_last=True)
    loader = DataLoader(
        data, sampler=batches, batch_size=None, num_workers=args.workers, persistent_workers=args.workers > 0
    )

    def epoch():
        """The first batch is not counted: workers begin anew with it."""
        begin = None
        for features, targets in loader:
            begin = begin or time.perf_counter()
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), targets)
            loss.backward()
            optimizer.step()
        return (time.perf_counter() - begin) / BATCHES

    for _ in range(3):  # until the hooks have found the model and count
        usual_s = epoch()
    epochs = max(1, round(CHUNK_S / (usual_s * BATCHES)))

    def chunk():
        return statistics.fmean(epoch() for _ in range(epochs))

    pairs = []
    for number in range(args.pairs):
        times = {}
        for hooks in (True, False) if number % 2 else (False, True):
            (on if hooks else off)(parts)
            epoch()
            times[hooks] = chunk()
            if not hooks:
                on(parts)
        pairs.append([times[True], times[False]])
    Path(args.out).write_text(json.dumps(pairs))


if __name__ == "__main__":
    main()

"""Small transformer on one CPU thread, alone or with DistributedDataParallel under torchrun.

Under torchrun, every other update does without communication (`no_sync`). Prints the median times of both kinds of
updates and of an all-reduce of 25 MB, as the means of the ranks, in seconds.
"""

import argparse
import contextlib
import os
import statistics
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

WIDTH, HEADS, LAYERS, WORDS, LENGTH, BATCH = 256, 4, 4, 1000, 64, 8
ALL_REDUCE_ELEMENTS = 25 * 2**20 // 4
WARM_UP = 3


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm2, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.blocks = nn.Embedding(WORDS, WIDTH), nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.words(words)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=100_000)
    updates = parser.parse_args().updates
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model: nn.Module = Model()
    together = "WORLD_SIZE" in os.environ
    if together:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times_s: dict[str, list[float]] = {"together": [], "alone": [], "all_reduce": []}
    for number in range(updates):
        synchronises = together and number % 2 == 0
        with contextlib.nullcontext() if synchronises or not together else model.no_sync():  # type: ignore[operator]
            begin_s = time.perf_counter()
            words = torch.randint(WORDS, (BATCH, LENGTH + 1))
            loss = F.cross_entropy(model(words[:, :-1]).reshape(-1, WORDS), words[:, 1:].reshape(-1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            times_s["together" if synchronises else "alone"].append(time.perf_counter() - begin_s)
        if synchronises:
            times_s["all_reduce"].append(all_reduce_s())
    for name, values in times_s.items():
        if together and values:
            mean = mean_of_ranks(statistics.median(values[WARM_UP:] or values))
            if dist.get_rank() == 0:
                print(name, mean)
    if together:
        dist.destroy_process_group()


def all_reduce_s() -> float:
    values = torch.zeros(ALL_REDUCE_ELEMENTS)
    dist.barrier()
    begin_s = time.perf_counter()
    dist.all_reduce(values)
    return time.perf_counter() - begin_s


def mean_of_ranks(value: float) -> float:
    held = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(held)
    return float(held) / dist.get_world_size()


if __name__ == "__main__":
    main()

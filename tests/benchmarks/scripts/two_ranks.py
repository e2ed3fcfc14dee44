"""Small transformer on one CPU thread, alone or with DistributedDataParallel under torchrun.

Prints the median time of an update, as the mean of the ranks; with --all-reduce, the rate of a ring all-reduce in GB/s
as well.
"""

import argparse
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
    parser.add_argument("--all-reduce", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model: nn.Module = Model()
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
        model = DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times_s = []
    for _ in range(arguments.updates):
        begin_s = time.perf_counter()
        words = torch.randint(WORDS, (BATCH, LENGTH + 1))
        loss = F.cross_entropy(model(words[:, :-1]).reshape(-1, WORDS), words[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times_s.append(time.perf_counter() - begin_s)
    figures = {"update_s": statistics.median(times_s[5:] or times_s)}
    if arguments.all_reduce:
        figures["gb_per_s"] = all_reduce_rate()
    for name, value in figures.items():
        mean = mean_of_ranks(value)
        if not dist.is_initialized() or dist.get_rank() == 0:
            print(name, mean)
    if dist.is_initialized():
        dist.destroy_process_group()


def mean_of_ranks(value: float) -> float:
    held = torch.tensor(value, dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(held)
        held /= dist.get_world_size()
    return float(held)


def all_reduce_rate() -> float:
    values, times_s = torch.zeros(ALL_REDUCE_ELEMENTS), []
    for _ in range(8):
        begin_s = time.perf_counter()
        dist.all_reduce(values)
        times_s.append(time.perf_counter() - begin_s)
    moved = 2 * (dist.get_world_size() - 1) / dist.get_world_size() * values.numel() * 4
    return moved / statistics.median(times_s) / 1e9


if __name__ == "__main__":
    main()

"""Three small trainings in different styles, for profiles and for torch's own memory tracker."""

from __future__ import annotations

BLOCKS = """
import torch
from torch import nn
from torch.nn import functional as F

WIDTH, HEADS, LAYERS, WORDS, LENGTH, BATCH = 192, 4, 4, 2000, 64, 16


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm2, self.up, self.down = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.blocks = nn.Embedding(WORDS, WIDTH), nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, words):
        x = self.words(words)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def batch():
    words = torch.randint(WORDS, (BATCH, LENGTH + 1))
    return words[:, :-1], words[:, 1:]


def optimizer_of(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-3)


def loss_of(model, inputs, targets):
    scores = model(inputs)
    return F.cross_entropy(scores.view(-1, WORDS), targets.reshape(-1)), scores
"""
"""A transformer in float32, whose loop holds the scores during the backward."""

AUTOCAST = BLOCKS.replace(
    """    scores = model(inputs)
    return F.cross_entropy(scores.view(-1, WORDS), targets.reshape(-1)), scores
""",
    """    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = model(inputs)
        return F.cross_entropy(scores.view(-1, WORDS), targets.reshape(-1)), scores
""",
)
"""The same under autocast."""

PICTURES = """
import torch
from torch import nn
from torch.nn import functional as F

BATCH = 32


def layer(inputs, outputs, stride):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())


class Model(nn.Sequential):
    def __init__(self):
        widths = [3, 32, 32, 64, 64, 128, 128, 256]
        layers = [layer(a, b, 1 + (a != b and a > 3)) for a, b in zip(widths, widths[1:])]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def batch():
    return torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))


def optimizer_of(model):
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def loss_of(model, inputs, targets):
    scores = model(inputs)
    return F.cross_entropy(scores, targets), scores
"""
"""Convolutions with batch norm."""

LOOP = """

if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = Model()
    optimizer = optimizer_of(model)
    for _ in range(100_000):
        loss, scores = loss_of(model, *batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
"""
TRACKED = '''
"""Peak of torch's own memory tracker: python tracked.py RECOMPUTE SHARDING DEVICES"""
import functools
import sys

import torch
from torch import nn
import torch.distributed as dist
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils.checkpoint import checkpoint
from train import Model, batch, loss_of, optimizer_of

recompute, sharding, devices = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = Model()
blocks = list(getattr(model, "blocks", ()))
if recompute == "full":
    for block in blocks:
        block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
if devices > 1:
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=devices)
    mesh = init_device_mesh("cpu", (devices,))
    kept = {"reshard_after_forward": sharding == "fsdp2"}
    for block in blocks:
        fully_shard(block, mesh=mesh, **kept)
    fully_shard(model, mesh=mesh)
optimizer = optimizer_of(model)
tracker = MemTracker()
tracker.track_external(model, optimizer)
with tracker:
    for _ in range(2):
        loss, scores = loss_of(model, *batch())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tracker.reset_mod_stats()
print(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])
'''

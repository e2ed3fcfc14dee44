"""parallelism=tensor: two processes that share the layers of each block train what one trains, on whole batches."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import forked
import pytest
import torch
from test_parallelism import beside, difference, unpickled

pytestmark = pytest.mark.slow

LIMIT_S = 240
ROUNDING = 2e-5
"""Difference of parameters after 24 updates of AdamW that another order of additions explains."""
SCRIPT = """
import copy, sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

way = (sys.argv[1:] or ["plain"])[0]
HEADS, WIDTH = (3, 18) if way == "three heads" else (4, 16)

class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, 64), nn.Linear(WIDTH, 64, bias=False)
        self.down = nn.Linear(64, WIDTH)
        if way == "tied":
            self.up.weight = self.gate.weight
        self.drop = nn.Dropout(0.1 if way == "dropout inside" else 0.0)

    def forward(self, x):
        hidden = self.drop(F.silu(self.gate(x)) * self.up(x))
        if way == "plain":
            hidden = F.relu(hidden, inplace=True)
        if way == "mixed features":
            hidden = hidden.flip(-1)
        return self.down(hidden)

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.k = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = (one(x).view(b, t, HEADS, c // HEADS).transpose(1, 2) for one in (self.q, self.k, self.v))
        if way == "by hand":
            scores = q @ k.transpose(-2, -1) / (c // HEADS) ** 0.5
            scores = scores.masked_fill(torch.ones(t, t).tril() == 0, float("-inf"))
            mixed = scores.softmax(-1) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o(mixed.transpose(1, 2).reshape(b, t, c))

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention, self.mlp, self.drop = Attention(), Mlp(), nn.Dropout(0.1)
        if way == "one dropout":
            self.mlp.drop = self.drop

    def forward(self, x):
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(50, WIDTH), nn.Linear(WIDTH, 50)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

def main():
    torch.manual_seed(1)
    model = Net() if way != "no block" else nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 50))
    listed = list(model.parameters())
    groups = [{"params": listed[:2], "lr": 1e-3}, {"params": listed[2:]}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, eps=1e-5, foreach=way == "by hand")
    if way == "compiled":
        model.compile(backend="eager")
    data = torch.randint(0, 50, (64, 9), generator=torch.Generator().manual_seed(2))
    for epoch in range(3):
        model.train()
        batches = DataLoader(data, 8, shuffle=True) if way != "by hand" else data[torch.randperm(64)].split(8)
        for batch in batches:
            loss = F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(listed, 0.5)
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(epoch, f"{loss.item():.4f} {norm.item():.3f} {model(data[:, :-1]).std().item():.4f}", flush=True)
        torch.save([model.state_dict(), optimizer.state_dict()], "between.pt")
        for owner, state in zip((model, optimizer), torch.load("between.pt")):
            owner.load_state_dict(state)
    copied = copy.deepcopy(model)
    torch.save({"model": model.state_dict(), "copied": copied.state_dict(), "opt": optimizer.state_dict()}, "saved.pt")
    torch.save(model, "whole.pt")

if __name__ == "__main__":
    main()
"""


def run(folder: Path, way: str, text: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    (folder / "train.py").write_text(text)
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    words = ("run", "--set", "parallelism=tensor", "--set", "processes=2", "train.py", way)
    return forked.advisor(folder, *words, limit_s=LIMIT_S, environment=environment)


@functools.cache
def alone(way: str, text: str = SCRIPT) -> tuple[str, dict[str, Any], bytes]:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "train.py").write_text(text)
        done = forked.run(Path(name), "train.py", way, limit_s=LIMIT_S)
        assert done.code == 0, done.err
        return done.out, torch.load(Path(name) / "saved.pt"), (Path(name) / "whole.pt").read_bytes()


@pytest.mark.parametrize(
    ("way", "shared"),
    [
        ("plain", "2 attention and 2 MLP in 2 Block are shared out among 2 processes"),
        ("by hand", "2 attention and 2 MLP in 2 Block are shared out among 2 processes"),
        ("three heads", "2 MLP in 2 Block are shared out among 2 processes; whole are: attention (attention.q, "),
        ("mixed features", "2 attention in 2 Block are shared out among 2 processes; whole are: layers (mlp.gate, "),
        ("one dropout", "2 attention in 2 Block are shared out among 2 processes; whole are: MLP (mlp.gate, mlp.up"),
        ("tied", "2 attention in 2 Block are shared out among 2 processes; whole are: MLP (mlp.up, mlp.down), as"),
    ],
)
def test_two_processes_that_share_blocks_train_what_one_trains(way: str, shared: str, tmp_path: Path) -> None:
    printed, saved, whole = alone(way)
    done = run(tmp_path, way)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert f"advisor: {shared}" in beside(done.stderr)
    assert difference(saved, torch.load(tmp_path / "saved.pt")) < ROUNDING
    (tmp_path / "one.pt").write_bytes(whole)
    assert len(set(map(functools.partial(unpickled, tmp_path), ("one.pt", "whole.pt")))) == 1


def test_features_in_parts_are_dropped_apart_and_all_else_alike(tmp_path: Path) -> None:
    """The ranks are compared after each of the first updates: they end where one has drawn other numbers."""
    printed, _saved, _whole = alone("dropout inside")
    done = run(tmp_path, "dropout inside")
    assert done.returncode == 0, done.stderr
    assert "2 attention and 2 MLP in 2 Block are shared out among 2 processes\n" in done.stderr
    one, shared = (float(text.split()[-3]) for text in (printed, done.stdout))
    assert shared == pytest.approx(one, rel=0.1)


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("no block", "no block has a linear layer that widens, and one that takes its output"),
        ("compiled", "the script compiles the model: what its blocks consist of is not seen"),
    ],
)
def test_what_cannot_be_shared_out_one_process_trains(way: str, why: str, tmp_path: Path) -> None:
    printed, saved, _whole = alone(way)
    done = run(tmp_path, way)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert f"parallelism keeps the script's value: {why}" in beside(done.stderr)
    assert difference(saved, torch.load(tmp_path / "saved.pt")) == 0.0


WRONG = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x):
        hidden = torch.relu(self.up(x))
        return x + self.down(hidden * hidden.size(-1) ** 0.5)

torch.manual_seed(1)
model = nn.Sequential(Block(), Block(), nn.Linear(8, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for number in range(6):
    x = torch.randn(12, 8)
    loss = (model(x) - x.sum(1, True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(model.state_dict(), "saved.pt")
print(f"{loss.item():.6f}")
"""


def test_a_block_that_gives_something_else_in_parts_stays_whole(tmp_path: Path) -> None:
    """What it computes depends on the number of features that it sees: no trace of its operators shows this."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "train.py").write_text(WRONG)
        one = forked.run(Path(name), "train.py", limit_s=LIMIT_S)
        expected = torch.load(Path(name) / "saved.pt")
    done = run(tmp_path, "", WRONG)
    assert (done.returncode, done.stdout) == (0, one.out), done.stderr
    assert "parallelism keeps the script's value: MLP in Block, as shared out its output differs by" in done.stderr
    assert difference(dict(expected), dict(torch.load(tmp_path / "saved.pt"))) == 0.0


OF_TRANSFORMERS = """
import sys, torch
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
if sys.argv[1] == "gpt2":
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=4))
elif sys.argv[1] == "bert":
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    model = BertForMaskedLM(BertConfig(vocab_size=64, **sizes, attention_probs_dropout_prob=0.0))
else:
    sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes, num_key_value_heads=2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
model.train()
data = torch.randint(0, 64, (48, 12), generator=torch.Generator().manual_seed(2))
for batch in DataLoader(data, 8, shuffle=True):
    loss = model(input_ids=batch, labels=batch).loss
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "saved.pt")
open("whole.pt", "wb").write(b"")
print(f"{loss.item():.4f}")
"""


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("way", "shared"),
    [
        ("gpt2", "2 MLP in 2 GPT2Block are shared out among 2 processes; whole are: layers (attn.c_attn, "),
        ("bert", "2 attention and 2 MLP in 2 BertLayer are shared out among 2 processes\n"),
        ("llama", "2 attention and 2 MLP in 2 LlamaDecoderLayer are shared out among 2 processes\n"),
    ],
)
def test_models_of_transformers(way: str, shared: str, tmp_path: Path) -> None:
    printed, saved, _whole = alone(way, OF_TRANSFORMERS)
    done = run(tmp_path, way, OF_TRANSFORMERS)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert f"advisor: {shared}" in beside(done.stderr)
    assert difference(saved, torch.load(tmp_path / "saved.pt")) < ROUNDING

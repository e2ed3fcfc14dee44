"""parallelism and processes: two processes train what one trains, and a script that they cannot train is left alone."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import pytest
import torch

from advisor import knobs
from advisor.agent.settings.data_parallel import DataParallelConfined
from advisor.errors import ExitCode
from advisor.rules._examples import healthy_cpu, healthy_cuda
from advisor.search.space import KnobSelection, open_space
from advisor.settings_file import exports
from advisor.settings_file.advisor_yaml import Document
from advisor.types import Config, Diagnosis

LIMIT_S = 240
ROUNDING = 2e-6
"""Difference of parameters after some twenty updates that another order of additions explains."""
SCRIPT = """
import copy, sys
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head, self.spare = nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(16, 1)
        self.blocks = nn.ModuleList(Block() for _ in range(3))

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def loss(self, x, y):
        return F.mse_loss(self.forward(x), y)

class Points(Dataset):
    def __init__(self):
        self.x = torch.randn(53, 8, generator=torch.Generator().manual_seed(3))

    def __len__(self):
        return len(self.x)

    def __getitem__(self, number):
        return self.x[number], self.x[number].sum().view(1)

class Stream(IterableDataset):
    def __iter__(self):
        return (Points()[number] for number in range(53))

def main(way):
    torch.manual_seed(1)
    model, second = Net(), nn.Linear(1, 1)
    listed = list(model.parameters())
    groups = [{"params": listed[:2], "lr": 1e-2}, {"params": listed[2:]}]
    if way == "two models":
        groups.append({"params": second.parameters()})
    optimizer = torch.optim.AdamW(groups, lr=5e-3)
    if way.startswith("sum"):
        optimizer = torch.optim.SGD(listed, lr=1e-3)
    if way == "lbfgs":
        optimizer = torch.optim.LBFGS(listed, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
    loader = DataLoader(Points(), 13, shuffle=True, num_workers=2 if way == "workers" else 0)
    if way == "accelerate":
        from accelerate import Accelerator
        loader = Accelerator(cpu=True).prepare(DataLoader(Points(), 10, shuffle=True))  # it reads a batch ahead
    if way == "data parallel":
        model = nn.DataParallel(model, device_ids=[0, 1], output_device=1)
    if way == "iterable":
        loader = DataLoader(Stream(), 13)
    for epoch in range(3):
        model.train()
        batches = loader if way != "own batches" else ((x, x.sum(1, True)) for x in Points().x.split(13))
        for number, (x, y) in enumerate(batches):
            if way == "method":
                loss = model.loss(x, y)
            elif way == "sum":
                loss = F.mse_loss(model(x), y, reduction="sum")
            elif way == "sum by hand":
                loss = (model(x) - y).square().sum()
            elif way == "two models":
                loss = F.mse_loss(second(model(x)), y)
            else:
                loss = F.mse_loss(model(x), y)
            if way == "accumulation":
                (loss / 2).backward()
                if number % 2 == 0:
                    continue
            elif way == "lbfgs":
                def closure():
                    optimizer.zero_grad()
                    again = F.mse_loss(model(x), y)
                    again.backward()
                    return again
                optimizer.step(closure)
                continue
            else:
                optimizer.zero_grad()
                loss.backward()
            if not way.startswith("sum"):
                nn.utils.clip_grad_norm_(listed, 0.5)
            optimizer.step()
            if way == "accumulation":
                optimizer.zero_grad()
        schedule.step()
        model.eval()
        with torch.no_grad():
            seen = [(len(x), F.mse_loss(model(x), y, reduction="sum").item()) for x, y in DataLoader(Points(), 20)]
        print(epoch, sum(size for size, _ in seen), f"{sum(loss for _, loss in seen) / 53:.4f}", flush=True)
        open("log.txt", "a").write(f"{epoch}\\n")
        if way == "resumed":
            torch.save([model.state_dict(), optimizer.state_dict()], "between.pt")
            for owner, state in zip((model, optimizer), torch.load("between.pt")):
                owner.load_state_dict(state)
    copied = copy.deepcopy(model)
    saved = {"model": model.state_dict(), "copied": copied.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(saved, "saved.pt")
    torch.save(model, "whole.pt")

if __name__ == "__main__":
    main(sys.argv[1])
"""


def run(
    folder: Path, way: str, *settings: str, text: str = SCRIPT, forks: bool = True
) -> subprocess.CompletedProcess[str]:
    """The training with these settings; without `forks` its processes import torch themselves, with the agent there."""
    (folder / "train.py").write_text(text)
    words = [word for setting in settings for word in ("--set", setting)]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    return forked.advisor(folder, "run", *words, "train.py", way, limit_s=LIMIT_S, environment=environment, forks=forks)


@functools.cache
def alone(way: str) -> tuple[str, dict[str, Any], bytes]:
    """What one process prints and saves: its checkpoint, and the length of the pickled model."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "train.py").write_text(SCRIPT)
        done = forked.run(Path(name), "train.py", way, limit_s=LIMIT_S)
        assert done.code == 0, done.err
        return done.out, torch.load(Path(name) / "saved.pt"), (Path(name) / "whole.pt").read_bytes()


def difference(one: Any, other: Any) -> float:
    """Largest difference of two saved values, which must have the same structure and types."""
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert one.shape == other.shape
        return float((one.double() - other.double()).nan_to_num().abs().max()) if one.numel() else 0.0
    if isinstance(one, dict):
        assert list(one) == list(other)
        return max((difference(one[name], other[name]) for name in one), default=0.0)
    if isinstance(one, list):
        return max(map(difference, one, other), default=0.0)
    assert repr(one) == repr(other)  # LBFGS holds nan
    return 0.0


def without_spare(saved: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint without the state of parameters that are not used, of which one process has none."""
    return {name: saved[name] for name in ("model", "copied")}


def unpickled(folder: Path, name: str) -> str:
    """What a pickled model is in a process without advisor: its classes, and all that its modules hold."""
    code = (
        "import sys, torch, train; sys.modules['__main__'].__dict__.update(vars(train));"
        f"model = torch.load({name!r}, weights_only=False);"
        "print([(type(one), sorted(vars(one)), [len(v) for v in vars(one).values() if isinstance(v, dict)])"
        " for one in model.modules()], [type(one) for one in model.parameters()])"
    )
    (folder / "reads.py").write_text(code)
    done = forked.run(folder, "reads.py", limit_s=LIMIT_S)
    assert done.code == 0, done.err
    return done.out


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        *("workers", "accumulation", "method", "two models", "resumed", "sum", "sum by hand"),
        pytest.param("accelerate", marks=pytest.mark.frameworks),
    ],
)
def test_two_processes_with_copies_train_what_one_trains(way: str, tmp_path: Path) -> None:
    printed, saved, _ = alone(way)
    done = run(tmp_path, way, "parallelism=ddp", "processes=2", forks=way != "workers")
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert difference(saved, torch.load(tmp_path / "saved.pt")) < ROUNDING
    assert (tmp_path / "log.txt").read_text() == "0\n1\n2\n"


@pytest.mark.slow
def test_data_parallel_passes_calls_on_and_its_checkpoints_keep_their_names(tmp_path: Path) -> None:
    printed, saved, _whole = alone("data parallel")
    done = run(tmp_path, "data parallel", "parallelism=ddp", "processes=2")
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert beside(done.stderr) == "advisor: nn.DataParallel passes calls on to Net: each process has one device\n"
    found = torch.load(tmp_path / "saved.pt")
    assert difference(saved, found) < ROUNDING
    assert all(name.startswith("module.") for name in found["model"])


def test_data_parallel_is_given_the_only_device_whatever_it_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(torch.nn.DataParallel, "__init__", lambda _self, *args, **rest: given.append((*args, rest)))
    said: list[str] = []
    confined = DataParallelConfined()
    confined.confine(said.append)
    made, again = (torch.nn.DataParallel.__new__(torch.nn.DataParallel) for _ in range(2))
    layer = torch.nn.Linear(1, 1)
    made.__init__(layer, [1, 2], 2)  # type: ignore[misc]
    again.__init__(layer, output_device=1, dim=1)  # type: ignore[misc]
    assert given == [(layer, [0], {"dim": 0}), (layer, None, {"dim": 1})]
    assert said == ["nn.DataParallel passes calls on to Linear: each process has one device"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "form"),
    [("resumed", "fsdp2_no_reshard"), ("accumulation", "fsdp2"), ("data parallel", "fsdp2")],
)
def test_two_processes_with_pieces_save_what_one_saves(way: str, form: str, tmp_path: Path) -> None:
    printed, saved, whole = alone(way)
    done = run(tmp_path, way, f"parallelism={form}", "processes=2", forks=way != "resumed")
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert difference(without_spare(saved), without_spare(torch.load(tmp_path / "saved.pt"))) < ROUNDING
    (tmp_path / "one.pt").write_bytes(whole)
    assert len(set(map(functools.partial(unpickled, tmp_path), ("one.pt", "whole.pt")))) == 1


@pytest.mark.slow
def test_four_processes_hold_two_replicas_in_pieces(tmp_path: Path) -> None:
    printed, saved, _whole = alone("plain")
    done = run(tmp_path, "plain", "parallelism=fsdp2_hybrid", "processes=4", text=SCRIPT.replace("copied = ", COUNTED))
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed + "{(2, 2)}\n"
    assert difference(without_spare(saved), without_spare(torch.load(tmp_path / "saved.pt"))) < ROUNDING


COUNTED = "print({tuple(one.device_mesh.shape) for one in model.parameters()})\n    copied = "


@pytest.mark.slow
def test_buckets_are_of_the_size_that_is_asked_for(tmp_path: Path) -> None:
    found = "[one for one in gc.get_objects() if type(one).__name__ == 'DistributedDataParallel']"
    shown = f"print([(one.bucket_bytes_cap, one.static_graph) for one in {found}])"
    text = SCRIPT.replace("    copied = ", f"    import gc\n    {shown}\n    copied = ")
    done = run(tmp_path, "plain", "processes=2", "ddp_bucket_mb=7", "ddp_static_graph=true", text=text)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("[(7340032, True)]\n")
    assert difference(alone("plain")[1], torch.load(tmp_path / "saved.pt")) < ROUNDING
    alone_with_it = run(tmp_path, "plain", "ddp_bucket_mb=7")
    assert "ddp_bucket_mb keeps the script's value: one process has nobody to send gradients to" in alone_with_it.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "form", "why"),
    [
        ("own batches", "ddp", "no DataLoader feeds the training: a batch that the script makes itself cannot be"),
        ("iterable", "ddp", "the training's dataset is iterable: its samples cannot be shared out"),
        ("lbfgs", "ddp", "LBFGS evaluates the loss several times in a step"),
        ("two models", "fsdp2", "several models are trained, or a method of the model is called in its place"),
        ("plain", "fsdp2_hybrid", "hybrid pieces are for an even number of processes, 4 or more, and these are 2"),
    ],
)
def test_what_several_cannot_train_one_trains_alone(way: str, form: str, why: str, tmp_path: Path) -> None:
    printed, saved, whole = alone(way)
    done = run(tmp_path, way, f"parallelism={form}", "processes=2")
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
    assert f"parallelism keeps the script's value: {why}" in beside(done.stderr)
    assert difference(saved, torch.load(tmp_path / "saved.pt")) == 0.0
    assert (tmp_path / "whole.pt").read_bytes() == whole


FAILING = """
import os, sys, torch
import train

def step(self, *args):
    global steps
    steps += 1
    if steps == 6:
        is_first = os.readlink("/proc/self/fd/0") != os.devnull
        what, where = sys.argv[2:4]
        if where == "all" or (where == "first") == is_first:
            if what == "raise":
                raise ValueError("boom")
            if what == "exit":
                sys.exit(5)
            os.kill(os.getpid(), 9)
    return own(self, *args)

steps, own = 0, torch.optim.AdamW.step
torch.optim.AdamW.step = step
train.main("plain")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "where", "code", "said"),
    [
        ("raise", "all", 1, "ValueError: boom"),
        ("raise", "other", 1, "the training has ended, as process 2 of 2 ended with exit code 1:"),
        ("exit", "all", 5, ""),
        ("kill", "other", 137, "process 2 of 2 was killed by SIGKILL"),
        ("kill", "first", -9, ""),
    ],
)
def test_one_process_that_fails_ends_all(what: str, where: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "failing.py").write_text(FAILING)
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    words = ("run", "--set", "processes=2", "failing.py", "", what, where)
    done = forked.advisor(tmp_path, *words, limit_s=LIMIT_S, environment=environment, forks=True, stdin="/dev/zero")
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("ValueError: boom") == (what == "raise")
    assert "[rank0]" not in done.stderr
    assert survivors(tmp_path) == []


def survivors(folder: Path) -> list[str]:
    """Processes that work in the folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                here = str((process / "cwd").readlink())
            except OSError:
                continue
            if here == str(folder):
                found.append((process / "cmdline").read_text())
    return found


def beside(stderr: str) -> str:
    first, _, rest = stderr.partition("\n")
    assert first.startswith("advisor: settings ")
    return rest


def test_it_is_single_with_a_reason_where_one_device_is_there() -> None:
    evidence = healthy_cpu()
    one_cpu = replace(evidence.hardware, cpu=replace(evidence.hardware.cpu, usable_cpus=1.0))
    for name in ("parallelism", "processes"):
        closed = knobs.get(name).values(one_cpu, evidence.workload).why_closed
        assert closed == "single: 1 CPU is usable"
        closed = knobs.get(name).values(healthy_cuda().hardware, healthy_cuda().workload).why_closed
        assert closed == "single: 1 cuda device is there"


def test_on_cpus_it_is_tried_only_if_it_is_asked_for() -> None:
    evidence = healthy_cpu()
    diagnosis = Diagnosis(findings=())
    unasked = open_space(evidence.hardware, evidence.workload, diagnosis, computing_fraction=0.9)
    assert {"processes", "parallelism"} <= {one.what for one in unasked.closed}
    asked = KnobSelection.of(only=["processes", "parallelism"])
    opened = open_space(evidence.hardware, evidence.workload, diagnosis, asked)
    assert [knob.id for knob in opened.knobs] == ["processes", "parallelism"]


def test_several_devices_open_it() -> None:
    evidence = healthy_cuda()
    device = evidence.hardware.accelerators[0]
    hardware = replace(evidence.hardware, accelerators=tuple(replace(device, index=number) for number in range(4)))
    assert knobs.get("processes").values(hardware, evidence.workload).values == (4, 2)
    assert knobs.get("parallelism").values(hardware, evidence.workload).values == ("fsdp2", "tensor")
    plain, normalised = (
        replace(evidence.workload, models=(replace(evidence.workload.models[0], layers=layers),))
        for layers in ({"Linear": 1}, {"Linear": 1, "BatchNorm2d": 1})
    )
    effects = [knobs.get("parallelism").effect(hardware, one) for one in (plain, normalised)]
    assert effects == ["numerics", "training"]


@pytest.mark.parametrize(
    ("form", "in_accelerate"), [("ddp", "distributed_type: MULTI_CPU"), ("fsdp2", "fsdp_version: 2")]
)
def test_launchers_start_as_many(form: str, in_accelerate: str) -> None:
    document = Document(config=Config.of({"parallelism": form, "processes": 4}), found={"training": {"device": "cpu"}})
    made = {one.target: one for one in exports.artifacts(document, ["torchrun", "accelerate"])}
    torchrun, accelerate = made["torchrun"], made["accelerate"]
    assert "--nproc-per-node=4" in torchrun.content
    assert f"parallelism={form}" in [item.what for item in torchrun.not_expressed]
    assert in_accelerate in accelerate.content
    assert "num_processes: 4" in accelerate.content


ENDLESS = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
x = torch.randn(4096, 32)
model = nn.Sequential(nn.Linear(32, 256), nn.ReLU(), nn.Linear(256, 1))
loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch_size=256, shuffle=True)
optimizer = torch.optim.AdamW(model.parameters())
while True:
    for inputs, targets in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_fresh_processes_are_verified_with_their_companions(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(ENDLESS)
    (tmp_path / "advisor.yaml").write_text("version: 1\nsettings: {parallelism: ddp, processes: 2, threads: 1}\n")
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}
    words = ("verify", "--rounds", "2", "--json", "--config", "advisor.yaml", "train.py")
    done = forked.advisor(tmp_path, *words, limit_s=LIMIT_S, environment=environment, thin=True, forks=True)
    # Two processes may be slower for updates as short as these, which a quiet machine shows.
    assert done.returncode in (0, ExitCode.BELOW_THRESHOLD), done.stderr
    assert "failed" not in done.stdout
    (companion,) = {path.name for path in (tmp_path / "state").rglob("*rank-1.stderr")}
    texts = [path.read_text() for path in (tmp_path / "state").rglob(companion)]
    assert len(texts) == 2
    assert not any("keeps the script's value" in text for text in texts), texts
    assert survivors(tmp_path) == []

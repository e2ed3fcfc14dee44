"""What training by several processes costs and keeps: `advisor run --set processes=2` on two CPUs.

    python tests/benchmarks/parallelism.py [--rounds 5] [--seconds 8]

The same training runs as a plain script under `advisor run`, and as the script that a user would write by hand with
`DistributedDataParallel`, a `DistributedSampler` and torchrun. Both run in fresh processes in turn; the order is
reversed from round to round. The first seconds are not counted. The parameters after some updates are compared with
those of one process that trains on the same global batches.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from _common import collect, complaints, machine, options, publish, say, spread, table

PROMISE = 0.03
"""Of an update, that a training pays at most for not having been written by hand."""
ROUNDING = 1e-5
"""Difference of parameters that another order of additions explains."""
EPOCH, SHORT_EPOCH = 50_000, 8192 + 5
"""Samples of an epoch: as many as CIFAR-10 has for what training costs, and few, with a part of a batch at the end, for
what it keeps."""
LIMIT_S = 600
UPDATES = 60
FORMS = ("ddp", "fsdp2", "fsdp2_no_reshard")
SCRIPT = """
import json, os, sys, time
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
BY_HAND_IMPORTS
torch.set_num_threads(1)
width, batch, samples, updates = map(int, sys.argv[1:5])
warm_up = float(sys.argv[5])
torch.manual_seed(0)
x = torch.randn(samples, 64)
y = x.sum(1, keepdim=True)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))

model = nn.Sequential(nn.Linear(64, width), *[Block() for _ in range(4)], nn.Linear(width, 1))
loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
BY_HAND_MODEL
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
times, begin, last, epoch = [], time.perf_counter(), time.perf_counter(), 0
while len(times) < updates:
    BY_HAND_EPOCH
    epoch += 1
    for inputs, targets in loader:
        loss = nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        now = time.perf_counter()
        times.append(now - last)
        last = now
        if len(times) >= updates:
            break
BY_HAND_FIRST
counted, passed = [], 0.0
for one in times:
    passed += one
    if passed > warm_up:
        counted.append(one)
json.dump(counted, open("times.json", "w"))
torch.save(model.state_dict(), "saved.pt")
"""
PLAIN = {"IMPORTS": "", "MODEL": "", "EPOCH": "pass", "FIRST": ""}
BY_HAND = {
    "IMPORTS": "import torch.distributed as dist\n"
    "from torch.utils.data.distributed import DistributedSampler\n"
    "dist.init_process_group('gloo')",
    "MODEL": "sampler = DistributedSampler(loader.dataset)\n"
    "loader = DataLoader(loader.dataset, batch_size=batch // dist.get_world_size(), sampler=sampler)\n"
    "model = nn.parallel.DistributedDataParallel(model)",
    "EPOCH": "sampler.set_epoch(epoch)",
    "FIRST": "rank = dist.get_rank()\ndist.barrier()\ndist.destroy_process_group()\nif rank:\n    os._exit(0)",
}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    width: int
    batch: int


CASES = (
    Case(name="0.2 M parameters, batch 256", width=96, batch=256),
    Case(name="1.2 M parameters, batch 256", width=256, batch=256),
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of two trainings each")
    parser.add_argument("--seconds", type=float, default=8.0, help="counted in each training")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before them, that are not")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    before = machine()
    cases = [case for case in CASES if arguments.only in case.name]
    costs, interrupted = collect(
        cases,
        lambda case: cost(case, arguments),
        lambda case, why: [case.name, f"FAILED: {why}", "–", "–", "–", "–"],
    )
    equal, interrupted_again = collect(
        [(case, form) for case in cases[:1] for form in FORMS],
        lambda both: equality(*both),
        lambda both, why: [both[0].name, both[1], f"FAILED: {why}", "–"],
    )
    header = ("training", "by hand, ms", "one process, ms", "advisor run, %", "median update, %", f"≤ {PROMISE:.0%}")
    about = (
        f"{arguments.rounds} rounds of two trainings by 2 processes of 1 thread each, {arguments.seconds:g} s counted "
        f"in each, in epochs of {EPOCH:,} samples. By hand: `DistributedDataParallel`, `DistributedSampler` and "
        "torchrun. Difference of the mean update (of the median one) under `advisor run --set processes=2` from that "
        "by hand in the same round: median (lowest … highest)."
    )
    publish("parallelism", "What training by several processes costs and keeps", before,
            [*filter(None, [interrupted, interrupted_again]), about, table(header, costs),
             f"Parameters after {UPDATES} updates, against those of one process on the same global batches.",
             table(("training", "form", "largest difference", f"≤ {ROUNDING:g}"), equal)],
            keep=not arguments.no_result and not arguments.only)  # fmt: skip


def cost(case: Case, arguments: Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="advisor-parallelism-") as name:
        folder = Path(name)
        alone = train(case, folder, [], PLAIN, samples=EPOCH, updates=30)
        update_s = statistics.median(alone)
        updates = max(50, round((arguments.seconds + arguments.warm_up) / update_s))
        by_hand: list[list[float]] = []
        advised: list[list[float]] = []
        for number in range(arguments.rounds):
            for ours in (False, True) if number % 2 == 0 else (True, False):
                words, parts = (advised_by(FORMS[0]), PLAIN) if ours else ([*TORCHRUN], BY_HAND)
                found = train(case, folder, words, parts, samples=EPOCH, updates=updates, warm_up_s=arguments.warm_up)
                (advised if ours else by_hand).append(found)
                say(f"{case.name}: {'advisor run' if ours else 'by hand'} {statistics.fmean(found) * 1e3:.3f} ms")
        pairs = list(zip(advised, by_hand, strict=True))
        means = [statistics.fmean(one) / statistics.fmean(other) - 1 for one, other in pairs]
        medians = [statistics.median(one) / statistics.median(other) - 1 for one, other in pairs]
        return [
            case.name,
            spread([statistics.fmean(one) for one in by_hand], "{:.2f}", scale=1e3),
            f"{update_s * 1e3:.2f}",
            spread(means, "{:+.2f}", scale=100),
            spread(medians, "{:+.2f}", scale=100),
            "yes" if statistics.median(means) <= PROMISE else "no",
        ]


def equality(case: Case, form: str) -> list[str]:
    """Compare the parameters of this form with those of one process."""
    import torch

    saved = []
    for words in ([], advised_by(form)):
        with tempfile.TemporaryDirectory(prefix="advisor-parallelism-") as name:
            train(case, Path(name), words, PLAIN, samples=SHORT_EPOCH, updates=UPDATES)
            saved.append(torch.load(Path(name) / "saved.pt"))
    one, other = saved
    difference = max(float((one[name] - other[name]).abs().max()) for name in one)
    return [case.name, form, f"{difference:.1e}", "yes" if difference <= ROUNDING else "no"]


def advised_by(form: str) -> list[str]:
    return ["-m", "advisor", "run", "--config", f"{form}.yaml"]


def train(
    case: Case,
    folder: Path,
    words: list[str],
    parts: dict[str, str],
    *,
    samples: int,
    updates: int,
    warm_up_s: float = 0.0,
) -> list[float]:
    """Return the seconds of the counted updates."""
    text = SCRIPT
    for name, code in parts.items():
        indent = "    " if name == "EPOCH" else ""
        text = text.replace(f"{indent}BY_HAND_{name}", "\n".join(indent + line for line in code.split("\n")))
    (folder / "train.py").write_text(text)
    (folder / "times.json").unlink(missing_ok=True)
    for form in FORMS:
        (folder / f"{form}.yaml").write_text(f"version: 1\nsettings: {{parallelism: {form}, processes: 2}}\n")
    shape = [case.width, case.batch, samples, updates, warm_up_s]
    done = subprocess.run(
        [sys.executable, *words, "train.py", *map(str, shape)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if done.returncode or complaints(done.stderr):
        raise SystemExit(f"{case.name}: exit code {done.returncode}\n{done.stderr}")
    found: list[float] = json.loads((folder / "times.json").read_text())
    return found


if __name__ == "__main__":
    main()

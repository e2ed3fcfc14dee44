"""Searches are killed at random moments: is a finished trial ever lost or run twice, is a process ever left behind?

    python tests/benchmarks/kills.py [--kills 100]

A search is begun, killed by SIGKILL after a random time, gone on with by `--resume`, killed again, and so on; one that
ends is followed by a new one. After each kill the log of trials must hold what it held before, in the same order, and
no configuration twice; and every process of the search must be gone.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import HERE, machine, options, publish, say, table

from advisor import store

sys.path.insert(0, str(HERE.parent))
from faults.commands import Desk

SCRIPT = """\
import torch, time
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
data = TensorDataset(torch.randn(4096, 16), torch.randn(4096, 1))
model = nn.Linear(16, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
while True:
    for features, targets in DataLoader(data, batch_size=16, shuffle=True):
        loss = nn.functional.mse_loss(model(features), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(0.002)
"""
SEARCH = ("--budget", "40s", "--no-verify", "--knobs", "num_workers,global_batch,threads,precision")
LONGEST_S = 30.0


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    before, chance = machine(), random.Random(arguments.seed)
    kills = lost = twice = orphans = torn = finished = searches = 0
    with tempfile.TemporaryDirectory(prefix="advisor-kills-") as place:
        desk = Desk(folder=Path(place))
        desk.script(SCRIPT)
        while kills < arguments.kills:
            searches += 1
            known: list[str] = []
            words: tuple[object, ...] = ("tune", "--runs", desk.runs, *SEARCH, "-f", "train.py")
            while kills < arguments.kills:
                ended = killed(desk, words, chance.uniform(0.2, LONGEST_S))
                kills += not ended
                orphans += len(desk.left())
                logs = sorted(desk.runs.glob("*/trials.jsonl"), key=lambda path: path.stat().st_mtime)
                if not logs:
                    continue
                found, broken = trials(logs[-1])
                torn += broken
                lost += found[: len(known)] != known
                twice += len(found) - len(set(found))
                finished += max(0, len(found) - len(known))
                known = found
                say(f"kill {kills}: {len(found)} trials kept, lost {lost}, twice {twice}, processes left {orphans}")
                words = ("tune", "--runs", desk.runs, "--resume", logs[-1].parent.name, *SEARCH, "-f", "train.py")
                if ended:
                    break
        desk.end_all()
    rows = [
        ("kills", kills),
        ("searches", searches),
        ("trials finished", finished),
        ("times that a finished trial was gone", lost),
        ("trials run twice", twice),
        ("lines torn by a kill and left out", torn),
        ("processes left behind", orphans),
    ]
    parts = [f"Killed 0.2 to {LONGEST_S:g} s after each start, at random.", table(("", "count"), rows)]
    publish("kills", "Searches killed at random moments", before, parts, keep=not arguments.no_result)
    raise SystemExit(bool(lost or twice or orphans))


def killed(desk: Desk, words: tuple[object, ...], after_s: float) -> bool:
    """Whether the command ended by itself before it was to be killed."""
    process = desk.start(*words)
    try:
        process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    if process.returncode:
        raise SystemExit(f"advisor {' '.join(map(str, words))} ended with exit code {process.returncode}")
    return True


def trials(log: Path) -> tuple[list[str], int]:
    """The configurations that were tried, in their order, and how many lines were torn."""
    found = store.read_records(log)
    tried = [str(record["config"]) for record in found.records if record.get("number")]
    return tried, len(found.damaged)


if __name__ == "__main__":
    main()

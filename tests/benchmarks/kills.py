"""Searches are killed at random moments: is a finished trial ever lost or run twice, is a process ever left behind?

    python tests/benchmarks/kills.py [--kills 100]

A search is begun, killed by SIGKILL at a random moment, gone on with by `--resume`, killed again, and so on; one that
ends is followed by a new one. After each kill the log of trials must hold what it held before, in the same order, and
no configuration twice; and every process of the search must be gone. Ctrl-C keeps what there is.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from _common import HERE, INTERRUPTED, machine, options, publish, say, stoppable, table

from advisor.errors import INTERRUPTIONS
from advisor.storage import record_file

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
SEARCH = ("--budget", "14s", "--no-verify", "--knobs", "num_workers,global_batch,threads,precision")
"""Its profile takes the first eight seconds or so, with the start; one that goes on is among trials after three."""
LONGEST_S = 12.0
AMONG_TRIALS = 0.7
"""Of the kills: so many wait until the search has finished another trial, however slow the machine is."""
AMONG_S = 4.0
"""After that: some trials, the fresh windows of the finalists, or the search's end."""
LONGEST_WAIT_S = 60.0
MOST_FAILURES = 5
"""Commands that ended by themselves with an error: then something is wrong that more kills do not show."""


@dataclass(kw_only=True)
class Counted:
    kills: int = 0
    searches: int = 0
    ended: int = 0
    in_trials: int = 0
    finished: int = 0
    lost: int = 0
    twice: int = 0
    torn: int = 0
    orphans: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.twice or self.orphans or self.failures)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=LONGEST_S, help="seconds from a start to its kill, at most")
    arguments = parser.parse_args()
    before, counted = machine(), Counted()
    stoppable()
    interrupted: list[str] = []
    with tempfile.TemporaryDirectory(prefix="advisor-kills-") as place:
        desk = Desk(folder=Path(place))
        desk.script(SCRIPT)
        try:
            chance = random.Random(arguments.seed)
            while counted.kills < arguments.kills and len(counted.failures) < MOST_FAILURES:
                one_search(desk, counted, chance, arguments)
        except INTERRUPTIONS:
            interrupted = [f"{INTERRUPTED} {counted.kills} of {arguments.kills} kills.**"]
        finally:
            desk.end_all()
    rows = [
        ("kills", counted.kills),
        ("of them after the first trial of a search", counted.in_trials),
        ("searches", counted.searches),
        ("searches that came to their end", counted.ended),
        ("trials finished", counted.finished),
        ("times that a finished trial was gone", counted.lost),
        ("trials run twice", counted.twice),
        ("lines torn by a kill and left out", counted.torn),
        ("processes left behind", counted.orphans),
        ("commands that ended with an error", len(counted.failures)),
    ]
    parts = [
        *interrupted,
        f"Killed at random (seed {arguments.seed}): {AMONG_TRIALS:.0%} of the kills up to {AMONG_S:g} s after another"
        f" trial was finished, the others 0.2 to {arguments.longest:g} s after the start.",
        table(("", "count"), rows),
        *counted.failures,
    ]
    publish("kills", "Searches killed at random moments", before, parts, keep=not arguments.no_result)
    raise SystemExit(not counted.is_clean)


def one_search(desk: Desk, counted: Counted, chance: random.Random, arguments: Namespace) -> None:
    """Begun, killed and gone on with until it ends."""
    counted.searches += 1
    earlier = set(desk.runs.glob("*/trials.jsonl"))
    known: list[str] = []
    torn = 0
    words: tuple[object, ...] = ("tune", "--runs", desk.runs, *SEARCH, "-f", "train.py")
    while counted.kills < arguments.kills:
        among_trials = chance.random() < AMONG_TRIALS
        after_s = chance.uniform(0.0, AMONG_S) if among_trials else chance.uniform(0.2, arguments.longest)

        def tried(count: int = len(known)) -> bool:
            found = set(desk.runs.glob("*/trials.jsonl")) - earlier
            return any(len(trials(log)[0]) > count for log in found)

        failure, ended = killed(desk, words, after_s, tried if among_trials else None)
        if failure is not None:
            counted.failures.append(failure)
            say(failure)
            return
        counted.kills += not ended
        counted.ended += ended
        counted.orphans += len(desk.left())
        logs = set(desk.runs.glob("*/trials.jsonl")) - earlier
        if not logs:
            continue  # killed before it had a folder: it is begun again
        log = logs.pop()
        found, broken = trials(log)
        counted.in_trials += bool(found) and not ended
        counted.torn += broken - torn
        counted.lost += found[: len(known)] != known
        counted.twice += len(found) - len(set(found)) - (len(known) - len(set(known)))
        counted.finished += max(0, len(found) - len(known))
        known, torn = found, broken
        say(
            f"kill {counted.kills}: {len(found)} trials kept, lost {counted.lost}, twice {counted.twice},"
            f" processes left {counted.orphans}"
        )
        words = ("tune", "--runs", desk.runs, "--resume", log.parent.name, *SEARCH, "-f", "train.py")
        if ended:
            return


def killed(
    desk: Desk, words: tuple[object, ...], after_s: float, begun: Callable[[], bool] | None
) -> tuple[str | None, bool]:
    """What went wrong, and whether the command ended by itself before it was to be killed: so long after it has
    `begun`, which is its start where that is None."""
    process = desk.start(*words)
    until = time.monotonic() + LONGEST_WAIT_S
    while begun is not None and not begun() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    try:
        _out, told = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return None, False
    if process.returncode:
        last = (told.strip().splitlines() or ["nothing on stderr"])[-1]
        return f"`advisor {' '.join(map(str, words))}` ended with exit code {process.returncode}: {last}", False
    return None, True


def trials(log: Path) -> tuple[list[str], int]:
    """The configurations that were tried, in their order, and how many lines were torn."""
    found = record_file.read(log)
    tried = [str(record["config"]) for record in found.records if record.get("number")]
    return tried, len(found.damaged)


if __name__ == "__main__":
    main()

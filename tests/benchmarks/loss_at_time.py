"""The lowest loss after a fixed time: `tune --objective loss_at_time` against a loop that a person writes with Optuna.

    python tests/benchmarks/loss_at_time.py                      all tasks, 60 s of trainings each
    python tests/benchmarks/loss_at_time.py tabular --wall 120   a part, for longer

The script's rate is the good one divided by 30. The search has `--wall` seconds for its trainings, and all that it
takes is measured; the loop then has as many. It starts a process for each trial, samples the rate (TPE, from 1e-5 to
1), and reads the loss that the script prints at its end. Each side's best settings are then trained with three seeds
that nobody used, for the updates that the script as written makes in `--horizon`.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from _common import collect, machine, options, publish, say, table
from time_to_loss import POOR, TASKS, Fixed, Task, refusal

import advisor
from advisor.types import Config

LOW, HIGH = 1e-5, 1.0
PRINTED = re.compile(r": (\S+)$", re.MULTILINE)
SEEDS = 3
LENGTHS = {"tabular": ("--epochs", 48), "digits_transformer": ("--epochs", 44), "char_gpt": ("--updates", 1)}
"""Script → its option for its length, and the updates of one unit of that."""


@dataclass(frozen=True, kw_only=True)
class Row:
    task: str
    wall_s: float = 0.0
    updates: int = 0
    settings: str = ""
    trainings: int = 0
    found: float = 0.0
    rate: float = 0.0
    trials: int = 0
    by_hand: float = 0.0
    written: float = 0.0
    failure: str | None = None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names of scripts")
    parser.add_argument("--wall", type=float, default=60.0, metavar="SECONDS", help="time of the search's trainings")
    parser.add_argument("--horizon", default="4s", help="time after which losses are compared")
    arguments = parser.parse_args()
    before = machine()
    tasks = [task for task in TASKS if task.script.stem in LENGTHS]
    wanted = [
        task for task in tasks if not arguments.words or any(word in task.script.stem for word in arguments.words)
    ]
    rows, interrupted = collect(
        wanted,
        lambda task: measure(task, arguments.wall, arguments.horizon),
        lambda task, why: Row(task=task.name, failure=why),
    )
    keep = len(wanted) == len(tasks) and not arguments.no_result
    title = "Lowest loss after a fixed time, against a loop with Optuna"
    publish("loss_at_time", title, before, parts(rows, interrupted), keep=keep)


def measure(task: Task, wall_s: float, horizon: str) -> Row:
    rate = float(f"{task.good / POOR:.3g}")
    with tempfile.TemporaryDirectory(prefix="advisor-loss-at-time-") as place:
        begin_s = time.monotonic()
        found = advisor.tune_learning(
            str(task.script),
            ["--lr", f"{rate:g}"],
            objective="loss_at_time",
            horizon=horizon,
            budget=wall_s,
            verify=False,
            runs=Path(place) / "runs",
        )
        took_s = time.monotonic() - begin_s
        if found.failure is not None:
            return Row(task=task.name, failure=refusal(found))
        updates = found.horizon_updates
        best, trials = by_hand(task, updates, took_s)
        say(f"{task.name}: {dict(found.best)} after {took_s:.0f} s; by hand {best:.2g} of {trials} trials")
        return Row(
            task=task.name,
            wall_s=took_s,
            updates=updates,
            settings=str(Config.of(found.best)),
            trainings=len(found.trials) + 1,
            found=loss(task, rate, Config.of(found.best), found.best_updates or updates, Path(place)),
            rate=best,
            trials=trials,
            by_hand=loss(task, rate, Config.of({"learning_rate": best}), updates, Path(place)),
            written=loss(task, rate, Config(), updates, Path(place)),
        )


def by_hand(task: Task, updates: int, wall_s: float) -> tuple[float, int]:
    """The best rate of a loop that starts a process for each trial, and the number of its whole trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    option, of_one = LENGTHS[task.script.stem]
    length = [option, str(max(1, round(updates / of_one)))]
    until_s = time.monotonic() + wall_s
    while (left_s := until_s - time.monotonic()) > 0:
        trial = study.ask()
        rate = trial.suggest_float("lr", LOW, HIGH, log=True)
        argv = [sys.executable, str(task.script), "--lr", f"{rate:g}", *length]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=left_s, check=False)
        except subprocess.TimeoutExpired:
            break
        printed = [float(word) for word in PRINTED.findall(done.stdout)]
        lost = done.returncode or not printed or printed[-1] != printed[-1]
        study.tell(trial, None if lost else printed[-1], optuna.trial.TrialState.FAIL if lost else None)
    whole = [trial for trial in study.trials if trial.value is not None]
    if not whole:
        raise RuntimeError(f"no trial ended within {wall_s:.0f} s")
    return float(study.best_params["lr"]), len(whole)


def loss(task: Task, rate: float, config: Config, updates: int, place: Path) -> float:
    """The mean validation loss at the end of trainings with three seeds; infinity if one diverges."""
    fixed = Fixed(task, rate, place)
    runs = [fixed.trainings.train(config, updates=updates, seed=100 + seed) for seed in range(SEEDS)]
    ends = [fixed.end(run) if run.end == "measured" else None for run in runs]
    return statistics.fmean(float("inf") if end is None else end for end in ends)


def parts(rows: Sequence[Row], interrupted: str | None) -> list[str]:
    measured = [row for row in rows if row.failure is None]
    lines: list[list[object]] = []
    for row in rows:
        if row.failure is not None:
            lines.append([row.task, row.failure, *[""] * 7])
            continue
        lines.append([
            row.task, f"{row.wall_s:.0f} s", row.updates, row.settings, row.trainings, f"{row.found:.4g}",
            f"{row.rate:.2g}, {row.trials}", f"{row.by_hand:.4g}", f"{row.written:.4g}",
        ])  # fmt: skip
    head = ["task", "time of each", "updates compared", "advisor's settings", "its trainings", "loss",
            "loop's rate, trials", "loss", "as written"]  # fmt: skip
    lower = sum(row.found < row.by_hand for row in measured)
    summary = f"Lower loss than the loop: {lower} of {len(measured)}. The script's rate is the good one ÷ {POOR:g}."
    return [*([interrupted] if interrupted else []), summary, table(head, lines)]


if __name__ == "__main__":
    main()

"""Is a poor learning rate mended, and is a good one left alone?

    python tests/benchmarks/time_to_loss.py                      all tasks, with the poor rate and the good one
    python tests/benchmarks/time_to_loss.py mlp --rate poor      a part; with --rows FILE, parts add up to the table
    python tests/benchmarks/time_to_loss.py --rate fifth         other poor rates: fifth, fivefold

With --keep FOLDER, a command that was cut off goes on where it was: no training is run twice.

A GAN is among the tasks: it must be refused, with a reason. For each other task and each of its rates:
`tune --objective time_to_loss`. Then the settings that it recommends, the best of a wide grid of rates, and the script
as written, each with three seeds that the search did not use. All are judged by the time to one loss: 5% above what the
script reaches with the good rate and each of these seeds at the end of the horizon. Times are updates, times the length
of an update with these settings, the least of three: other programs make it longer.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from _common import SCRIPTS, collect, machine, options, publish, say, table

import advisor
from advisor.analysis import time_to_loss
from advisor.runtime import RunOptions
from advisor.runtime.protection import protect
from advisor.search.training import TrainingLog
from advisor.search.trial_log import TRIALS_FILE
from advisor.target.function import command_for
from advisor.types import Config, LearningResult, LossCurve, TrainingRun
from advisor.verification.training_run import Trainings

LEARNING = SCRIPTS / "learning"
SEEDS = (11, 12, 13)
GRID = tuple(10 ** (exponent / 4) for exponent in range(-8, 9, 2))
"""Multiples of the good rate: four decades, two rates in each."""
POOR = 30.0
"""Divisor of the good rate."""
RATES = {"poor": 1 / POOR, "fifth": 1 / 5, "fivefold": 5.0, "good": 1.0}
"""Multiples of the good rate."""
USUAL = ("poor", "good")
"""Rates that are tried unless others are asked for."""
RECOVERED = 1.2
"""Multiple of the time of the best of the grid."""

MARGIN = 1.05
"""Multiple of the highest of those losses that is the target: equal settings of other updates scatter about it."""
WORSE = 1.05
"""Multiple of the loss as written from which a good rate was made worse: seeds differ by as much."""


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    script: Path
    good: float
    horizon: int
    refused: bool = False
    """True if no loss can judge it, and the search must say so."""


TASKS = (
    Task(name="digits, dense layers, SGD", script=LEARNING / "digits_mlp.py", good=0.3, horizon=880),
    Task(name="digits, convolutions, Adam", script=LEARNING / "digits_conv.py", good=0.005, horizon=600),
    Task(name="characters, LSTM, AdamW", script=LEARNING / "char_lstm.py", good=0.01, horizon=450),
    Task(name="digits, transformer, AdamW", script=LEARNING / "digits_transformer.py", good=0.005, horizon=660),
    Task(name="table, dense layers, SGD with momentum", script=LEARNING / "tabular.py", good=0.06, horizon=720),
    Task(name="characters, GPT, AdamW", script=LEARNING / "char_gpt.py", good=0.008, horizon=600),
    Task(name="ratings, factorisation, Adam", script=LEARNING / "matrix_factorisation.py", good=0.02, horizon=632),
    Task(name="digits, GAN", script=LEARNING / "digits_gan.py", good=0.0005, horizon=200, refused=True),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    task: str
    rate: str
    written: float = 0.0
    verdict: str = ""
    settings: str = ""
    search_s: float = 0.0
    trainings: int = 0
    speedup: float = 0.0
    target: float = 0.0
    found_s: list[float | None] = field(default_factory=list)
    grid_s: list[float | None] = field(default_factory=list)
    written_s: list[float | None] = field(default_factory=list)
    grid_rate: float = 0.0
    found_loss: float = 0.0
    grid_loss: float = 0.0
    written_loss: float = 0.0
    failure: str | None = None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names of tasks")
    parser.add_argument("--rate", choices=tuple(RATES), help="only this rate")
    parser.add_argument("--keep", type=Path, help="folder in which trainings are kept, for a command that goes on")
    parser.add_argument("--rows", type=Path, help="file to which rows are added, and of which the table is made")
    arguments = parser.parse_args()
    before = machine()
    cases = [
        (task, rate)
        for task in TASKS
        for rate in (("good",) if task.refused else USUAL if arguments.rate is None else (arguments.rate,))
        if (not arguments.words or any(word in task.script.stem for word in arguments.words))
    ]
    rows, interrupted = collect(
        cases,
        lambda case: measure(*case, arguments.keep),
        lambda case, why: Row(task=case[0].name, rate=case[1], failure=why),
    )
    rows = added(rows, arguments)
    wanted = {(task.name, rate) for task in TASKS for rate in (("good",) if task.refused else USUAL)}
    whole = wanted <= {(row.task, row.rate) for row in rows}
    publish("time_to_loss", "Poor and good learning rates, judged by the time to a loss", before,
            parts(rows, interrupted), keep=whole and not arguments.no_result)  # fmt: skip


def added(rows: Sequence[Row], arguments: Namespace) -> list[Row]:
    """The rows of earlier parts, and these."""
    if arguments.rows is None:
        return list(rows)
    with arguments.rows.open("a") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
    latest = {}
    for line in arguments.rows.read_text().splitlines():
        row = Row(**json.loads(line))
        latest[(row.task, row.rate)] = row
    order = {task.name: place for place, task in enumerate(TASKS)}
    return sorted(latest.values(), key=lambda row: (order[row.task], list(RATES).index(row.rate)))


def measure(task: Task, rate: str, keep: Path | None = None) -> Row:
    written = float(f"{task.good * RATES[rate]:.3g}")
    with tempfile.TemporaryDirectory(prefix="advisor-time-to-loss-") as temporary:
        place = Path(temporary) if keep is None else keep / task.script.stem
        found, search_s = searched(task, written, place / f"search-{written:g}")
        if task.refused or found.failure is not None:
            return Row(task=task.name, rate=rate, written=written, search_s=search_s, failure=refusal(found))
        settings = found.recommendation.config
        say(f"{task.name}, {rate}: {found.verdict.status} {found.verdict.speedup:.2f} with {settings}")
        target, grid_rate, best = grid_of(task, place)
        mine = Fixed(task, written, place)
        ours, ends = mine.times(settings, target)
        as_written, written_ends = mine.times(Config(), target)
        row = Row(
            task=task.name,
            rate=rate,
            written=written,
            verdict=found.verdict.status if found.best else "nothing better",
            settings=str(settings),
            search_s=search_s,
            trainings=len(found.trials) + 2 * len(found.verdict.pairs) + 1,
            speedup=found.verdict.speedup,
            target=target,
            found_s=ours,
            grid_s=best[0],
            written_s=as_written,
            grid_rate=grid_rate,
            found_loss=ends,
            grid_loss=best[1],
            written_loss=written_ends,
        )
        say(f"{row.task}, {rate}: {cell(ours)} of {cell(best[0])}; {cell(as_written)} as written")
        return row


def searched(task: Task, written: float, folder: Path) -> tuple[LearningResult, float]:
    """The search, which goes on if an earlier command was cut off in it, and the seconds that it has taken in all."""
    folder.mkdir(parents=True, exist_ok=True)
    begun, spent = sorted(folder.glob(f"runs/*/*/{TRIALS_FILE}")), folder / "seconds"
    before_s, begin_s = float(spent.read_text()) if spent.exists() else 0.0, time.monotonic()
    try:
        found = advisor.tune_learning(
            str(task.script),
            ["--lr", f"{written:g}"],
            horizon=str(task.horizon),
            runs=folder / "runs",
            resume=begun[-1].parent if begun else None,
        )
    finally:
        took_s = before_s + time.monotonic() - begin_s
        spent.write_text(f"{took_s:.1f}")
    return found, took_s


def refusal(found: LearningResult) -> str:
    """What a search says of a script that it does not judge."""
    if found.failure is None:
        return f"judged by its {found.loss}: {found.verdict.status}"
    return f"{found.failure.kind}: {found.failure.message}"


_grids: dict[str, tuple[float, float, tuple[list[float | None], float]]] = {}


def grid_of(task: Task, place: Path) -> tuple[float, float, tuple[list[float | None], float]]:
    """The target, and the best of the grid with its times and its loss; the same for both rates of a task."""
    if task.name not in _grids:
        good = Fixed(task, task.good, place)
        target = MARGIN * max(loss for one in good.all(Config()) if (loss := good.end(one)) is not None)
        _grids[task.name] = (target, *good.best_of_grid(target))
    return _grids[task.name]


class Fixed:
    """Trainings of one task whose script has a given rate."""

    def __init__(self, task: Task, rate: float, place: Path) -> None:
        self.task = task
        folder = place / f"fixed-{rate:g}"
        folder.mkdir(parents=True, exist_ok=True)
        run = RunOptions(runs=folder / "runs")
        command = command_for(str(task.script), ["--lr", f"{rate:g}"], is_module=False, interpreter=None, root=run.root)
        trainings = Trainings(command=command, folder=folder, isolation=protect(command, run), options=run)
        self.trainings = TrainingLog(trainings=trainings, folder=folder)
        self.trainings.read()

    def all(self, config: Config) -> list[TrainingRun]:
        return [self.trainings.train(config, updates=self.task.horizon, seed=seed) for seed in SEEDS]

    def best_of_grid(self, target: float) -> tuple[float, tuple[list[float | None], float]]:
        """The rate that reaches the target first with one seed, and its times with three."""
        seconds = {}
        for factor in GRID:
            rate = float(f"{self.task.good * factor:.2g}")
            one = self.trainings.train(Config.of({"learning_rate": rate}), updates=self.task.horizon, seed=SEEDS[0] - 1)
            reached = time_to_loss.time_to(time_to_loss.at_pace(curve(one), 1.0), target)
            if one.end == "measured" and reached is not None:
                seconds[rate] = reached
        best = min(seconds, key=seconds.__getitem__)
        return best, self.times(Config.of({"learning_rate": best}), target)

    def times(self, config: Config, target: float) -> tuple[list[float | None], float]:
        """Seconds to the target with each seed, and the mean loss at the end."""
        runs = self.all(config)
        pace = min(time_to_loss.update_s(run.training) for run in runs if run.training is not None)
        found = [time_to_loss.time_to(time_to_loss.at_pace(curve(run), pace), target) for run in runs]
        ends = [loss for run in runs if (loss := self.end(run)) is not None]
        return found, statistics.fmean(ends) if ends else math.nan

    @staticmethod
    def end(run: TrainingRun) -> float | None:
        return time_to_loss.end_loss(curve(run))


def curve(run: TrainingRun) -> LossCurve:
    found = run.validation or run.training
    assert found is not None
    return found


def ratio(row: Row) -> float | None:
    """The time with the recommended settings over that of the best of the grid; None if one was not reached."""
    ours = [one for one in row.found_s if one is not None]
    grid = [one for one in row.grid_s if one is not None]
    if not ours or len(ours) < len(row.found_s) or not grid:
        return None
    return statistics.fmean(ours) / statistics.fmean(grid)


def cell(seconds: Sequence[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    if not known:
        return "never"
    return f"{statistics.fmean(known):.2f} s" + (
        "" if len(known) == len(seconds) else f" ({len(known)} of {len(seconds)})"
    )


def parts(rows: Sequence[Row], interrupted: str | None) -> list[str]:
    lines = []
    for row in rows:
        if row.failure is not None:
            lines.append([row.task, row.rate, row.failure, *[""] * 8])
            continue
        times = ratio(row)
        lines.append([
            row.task, f"{row.rate}, {row.written:.2g}", row.verdict, row.settings,
            f"{row.search_s:.0f} s, {row.trainings}", cell(row.written_s), cell(row.found_s),
            f"{cell(row.grid_s)} at {row.grid_rate:.2g}",
            "never" if times is None else f"{times:.2f}", f"{row.written_loss:.3g} → {row.found_loss:.3g}",
            f"{row.grid_loss:.3g}",
        ])  # fmt: skip
    measured = [row for row in rows if row.failure is None]
    gan = [row for row in rows if any(task.refused and task.name == row.task for task in TASKS)]
    poor = [row for row in rows if row.rate != "good" and row not in gan]  # one that is refused is not recovered
    refused = sum((row.failure or "").startswith("refused: ") for row in gan)
    good = [row for row in measured if row.rate == "good"]
    mended = sum((found := ratio(row)) is not None and found <= RECOVERED for row in poor)
    worse = sum(row.settings != str(Config()) and row.found_loss > WORSE * row.written_loss for row in good)
    head = ["task", "rate", "verdict", "settings", "search, trainings", "as written", "recommended", "best of the grid",
            "ratio", "loss at the end", "grid's"]  # fmt: skip
    summary = (
        f"Poor rates (poor: ÷ {POOR:g}) recovered to within {RECOVERED:g} × of the best of a grid of {len(GRID)} "
        f"rates: {mended} of {len(poor)}. Good rates made worse: {worse} of {len(good)}. GANs refused: {refused} of "
        f"{len(gan)}."
    )
    return [*([interrupted] if interrupted else []), summary, table(head, lines)]


if __name__ == "__main__":
    main()

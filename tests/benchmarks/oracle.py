"""Is what the search recommends as fast as the best of all combinations?

    python tests/benchmarks/oracle.py                      all workloads
    python tests/benchmarks/oracle.py image tabular        those whose name contains one of the words

For each workload: a search with a budget, as `advisor tune --no-verify --knobs ...` makes it; then every combination
of the values that it had open, in live windows of one run, all of them twice, the second time in the other order; then
the script as written, the recommendation and the grid's best in fresh processes in turns. What has no meaning without
another setting (workers that stay where there are none) is no combination of its own. Ctrl-C keeps what there is.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import _live
from _common import HERE, SCRIPTS, collect, machine, options, publish, say, spread, table

import advisor
from advisor import wire
from advisor.analysis import ratios
from advisor.runtime import RunOptions
from advisor.runtime.session_result import SessionResult
from advisor.search import KnobSelection, SearchRequest, read
from advisor.search.space import Space
from advisor.target import command
from advisor.types import Config
from advisor.verification import windows as process_windows
from advisor.workflows.search_run import opened
from advisor.workflows.tune_request import TuneRequest

WORKLOADS = HERE.parent / "workloads"
DEMO = Path(advisor.__file__).parent / "demo" / "train.py"
LOADING = ("num_workers", "persistent_workers", "threads", "fused_optimizer", "precision")
COMPUTING = ("precision", "fused_optimizer", "threads", "num_workers", "persistent_workers")
CONVOLVING = ("precision", "memory_format", "num_workers", "threads", "fused_optimizer")
"""Sets whose grids have some dozens of combinations on a machine of two CPUs."""
SETS = {
    WORKLOADS / "image_augment.py": LOADING,
    WORKLOADS / "tabular_json_rows.py": LOADING,
    WORKLOADS / "slow_collate_text.py": LOADING,
    WORKLOADS / "short_epochs.py": LOADING,
    SCRIPTS / "peers" / "towers.py": COMPUTING,
    SCRIPTS / "peers" / "many_weights.py": COMPUTING,
    SCRIPTS / "peers" / "images.py": CONVOLVING,
    SCRIPTS / "second_limit" / "waits_then_optimizer.py": LOADING,
    SCRIPTS / "second_limit" / "waits_then_computes.py": LOADING,
    DEMO: CONVOLVING,
}
PASSES = 2
"""Over the grid: of that many windows by chance one would come out best."""
SHARED_BASE = 2
"""Combinations between two windows as written; each stands beside one."""
NOTHING = Config()
REACHED = 0.97
MOST_WINDOWS = 0.25
"""Of the grid's."""
MOST_BETWEEN_S = 0.050


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    recommended: Config = NOTHING
    best: Config = NOTHING
    trials: int = 0
    combinations: int = 0
    looks: int = 0
    """Windows of trials, first and second looks: what the choice stands on."""
    search_windows: int = 0
    """With settings: looks, the fresh ones of the finalists, and those that split the gain by knob."""
    grid_windows: int = 0
    search_s: float = 0.0
    grid_s: float = 0.0
    speedups: tuple[tuple[float, float], ...] = ()
    """Recommendation and best over the script as written, of each round of fresh processes."""
    between_s: tuple[float, ...] = ()
    """The controller's own time from a report to the next plan, in the search."""
    failure: str | None = None

    @property
    def reached(self) -> list[float]:
        return [recommended / best for recommended, best in self.speedups]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all are run")
    parser.add_argument("--budget", type=float, default=75.0, help="of the search, seconds")
    parser.add_argument("--window", type=float, default=0.4, help="seconds counted of each combination, each time")
    parser.add_argument("--grid", type=float, default=75.0, help="seconds that a grid may take at most")
    parser.add_argument("--rounds", type=int, default=5, help="of fresh processes")
    arguments = parser.parse_args()
    before = machine()
    wanted = [
        script for script in SETS if not arguments.words or any(word in name_of(script) for word in arguments.words)
    ]
    rows, interrupted = collect(
        wanted,
        lambda script: measure(script, arguments),
        lambda script, why: Row(name=name_of(script), failure=why),
    )
    publish("oracle", "The recommendation beside the best of all combinations", before,
            parts(rows, interrupted, arguments), keep=not arguments.no_result and len(wanted) == len(SETS))  # fmt: skip


def name_of(script: Path) -> str:
    return "demo" if script == DEMO else script.stem


def measure(script: Path, arguments: Namespace) -> Row:
    with tempfile.TemporaryDirectory(prefix="advisor-oracle-") as place, working_in(Path(place)) as folder:
        begin_s = time.monotonic()
        found = search(script, folder, arguments.budget)
        search_s = time.monotonic() - begin_s
        grid = combinations(found.space)
        say(f"{name_of(script)}: {told(found.recommended)} after {found.trials} trials; a grid of {len(grid)}")
        begin_s = time.monotonic()
        result = run_grid(script, grid, folder, arguments)
        grid_s = time.monotonic() - begin_s
        best = best_of(result, grid)
        speedups = fresh(script, found.recommended, best, folder, arguments.rounds)
        row = Row(
            name=name_of(script),
            recommended=found.recommended,
            best=best,
            trials=found.trials,
            combinations=len(grid),
            looks=found.looks,
            search_windows=found.windows,
            grid_windows=with_settings(result),
            search_s=search_s,
            grid_s=grid_s,
            speedups=tuple(speedups),
            between_s=found.between_s,
        )
        say(f"{row.name}: {told(row.recommended)} reaches {spread(row.reached)} of {told(row.best)}")
        return row


# --- search -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Found:
    recommended: Config
    space: Space
    trials: int
    looks: int
    windows: int
    between_s: tuple[float, ...]


def search(script: Path, folder: Path, budget_s: float) -> Found:
    """As `advisor.tune` does it; its windows can be counted here."""
    built, settings = command.build(str(script), [], cwd=folder), read("quick")
    order = TuneRequest(
        command=built,
        budget_s=budget_s,
        preset="quick",
        settings=settings,
        search=SearchRequest(selection=KnobSelection.of(SETS[script], (), settings.open), command=built),
        verify=False,
    )
    with opened(order, RunOptions(isolation="none", runs=folder / "runs")) as search_run:
        result = search_run.carry_out()
        if result.interrupted is not None:
            raise result.interrupted
        study = search_run.study
        if not study.trials:
            raise SystemExit(f"{script.stem}: the profile measured nothing: {search_run.found.failure}")
        return Found(
            recommended=search_run.recommendation().config,
            space=study.space,
            trials=sum(bool(trial.config.settings) for trial in study.trials),
            looks=sum(name.startswith("trial ") for name in result.outcomes),
            windows=with_settings(result),
            between_s=tuple(result.between_s),
        )


def with_settings(result: SessionResult) -> int:
    """Windows that were run with any."""
    return sum(bool(result.windows[name].config) for name in result.outcomes if name in result.windows)


# --- grid ---------------------------------------------------------------------------------------------------------


def combinations(space: Space) -> list[Config]:
    """All but the script as written; a knob that changes the training is left out, as it is recommended apart."""
    kept = [knob for knob in space.knobs if knob.effect != "training" and knob.scope == "live"]
    choices = [[None, *knob.values] for knob in kept]
    names = [knob.id for knob in kept]
    found = [
        space.meaningful(
            Config.of({name: value for name, value in zip(names, chosen, strict=True) if value is not None})
        )
        for chosen in itertools.product(*choices)
    ]
    return [config for config in dict.fromkeys(found) if config.settings]


def run_grid(script: Path, grid: Sequence[Config], folder: Path, arguments: Namespace) -> SessionResult:
    windows = [_live.window("base", {}, arguments.window)]
    for again in range(PASSES):
        order = list(enumerate(grid))
        for place, (number, config) in enumerate(order if again % 2 == 0 else order[::-1], 1):
            windows.append(_live.window(f"grid {number} {again}", config.as_dict(), arguments.window))
            if place % SHARED_BASE == 0 or place == len(grid):
                windows.append(_live.window(f"base {again} {place}", {}, arguments.window))
    return _live.run(
        script, [], windows, folder=folder / "grid", outlives_failures=True, budget_s=arguments.grid
    )  # fmt: skip


def best_of(result: SessionResult, grid: Sequence[Config]) -> Config:
    """The fastest beside the script as written; that itself where none is faster."""
    speeds = {}
    for number, config in enumerate(grid):
        ratio = ratios.speedup(result, {f"grid {number} {again}" for again in range(PASSES)}, None)
        if ratio is not None:
            speeds[config] = ratio.speedup
    fastest = max(speeds, key=speeds.__getitem__, default=Config())
    return fastest if speeds.get(fastest, 0.0) > 1.0 else Config()


# --- fresh processes ----------------------------------------------------------------------------------------------


def fresh(script: Path, recommended: Config, best: Config, folder: Path, count: int) -> list[tuple[float, float]]:
    """Of each round the speed-ups of both over the script as written; each configuration is run once a round."""
    configs = list(dict.fromkeys((Config(), recommended, best)))
    found = []
    for number in range(count):
        order = configs if number % 2 == 0 else configs[::-1]
        rates = {config: rate(script, config, folder / f"fresh-{number}-{configs.index(config)}") for config in order}
        found.append((rates[recommended] / rates[Config()], rates[best] / rates[Config()]))
    return found


def rate(script: Path, config: Config, folder: Path) -> float:
    """Samples a second in a process of its own; updates where samples are not known."""
    wanted = replace(process_windows.first_window(), config=config.as_dict())
    done = _live.run(script, [], [process_windows.begin_window(), wanted], folder=folder).outcomes.get(wanted.id)
    if not isinstance(done, wire.WindowDone):
        raise SystemExit(f"{script.name} with {told(config)} in a fresh process: {done.message if done else 'ended'}")
    counts = done.samples if all(done.samples) else [1] * len(done.wall_s)
    return math.fsum(float(count or 0) for count in counts) / math.fsum(done.wall_s)


# --- table --------------------------------------------------------------------------------------------------------


def parts(rows: Sequence[Row], interrupted: str | None, arguments: Namespace) -> list[str]:
    good = [row for row in rows if row.failure is None]
    enough = sum(statistics.median(row.reached) >= REACHED for row in good)
    few = sum(row.looks <= MOST_WINDOWS * row.grid_windows for row in good)
    fewer = sum(row.search_windows <= MOST_WINDOWS * row.grid_windows for row in good)
    header = ("workload", "recommended", "speed-up", "best of the grid", "speed-up", "reached", "trials / combinations",
              "looks, all windows / the grid's", "search, grid: s", "between windows: median, worst, ms")  # fmt: skip
    about = (
        f"Search: {arguments.budget:g} s from the first update on, its profile among them, knobs as listed in the"
        f" benchmark as far as they are open. Grid: every combination {PASSES} times, {arguments.window:g} s counted"
        " each time. Speed-ups over the script as written, and what the recommendation reaches of the grid's best:"
        f" median (lowest … highest) of {arguments.rounds} rounds of fresh processes in turns; the same configuration"
        " is run once a round, and reaches 1. Windows are those with settings: looks are what the choice stands on,"
        " first and second ones; all windows are also the fresh ones of the finalists, which tell what the choice"
        " gives, and those that split the gain by knob."
    )
    failed = len(rows) - len(good)
    summary = (
        f"{enough} of {len(good)} reach {REACHED:g} of the grid's best. Looks are at most {MOST_WINDOWS:.0%} of the"
        f" grid's windows in {few} of {len(good)}; all windows of the search are in {fewer}."
        + (f" {failed} failed." if failed else "")
    )
    between = [seconds for row in good for seconds in row.between_s]
    controller = (
        f"The controller's own time between windows, from a report to the next plan: {len(between)} times"
        f" in these searches, median {statistics.median(between) * 1e3:.1f} ms, worst {max(between) * 1e3:.0f} ms,"
        f" {sum(seconds > MOST_BETWEEN_S for seconds in between)} above {MOST_BETWEEN_S * 1e3:.0f} ms."
        if between
        else "No search had windows to go on to."
    )
    return [
        *([interrupted] if interrupted else []),
        about,
        summary,
        controller,
        table(header, [cells(row) for row in rows]),
    ]


def cells(row: Row) -> list[str]:
    if row.failure is not None:
        return [row.name, f"FAILED: {row.failure}", *["–"] * 8]
    measured = f" of {PASSES * row.combinations}" if row.grid_windows < PASSES * row.combinations else ""
    return [
        row.name,
        told(row.recommended),
        spread([recommended for recommended, _best in row.speedups]),
        told(row.best),
        spread([best for _recommended, best in row.speedups]),
        spread(row.reached),
        f"{row.trials} / {row.combinations} ({row.trials / row.combinations:.0%})",
        f"{row.looks}, {row.search_windows} / {row.grid_windows}{measured}"
        f" ({row.looks / max(1, row.grid_windows):.0%}, {row.search_windows / max(1, row.grid_windows):.0%})",
        f"{row.search_s:.0f}, {row.grid_s:.0f}",
        f"{statistics.median(row.between_s) * 1e3:.1f}, {max(row.between_s) * 1e3:.0f}" if row.between_s else "–",
    ]


def told(config: Config) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.settings) or "as written"


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[Path]:
    """Scripts make their data beside themselves."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield folder
    finally:
        os.chdir(before)


if __name__ == "__main__":
    main()

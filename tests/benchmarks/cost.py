"""What trying one configuration costs: live windows against a process for every trial.

    python tests/benchmarks/cost.py [--rounds 2] [--window 2]

Both ways try the same configurations of the same script, which takes five seconds to start, and count the same windows.
The other way is what a hand-written Optuna study does: one process a trial. Neither is stopped early, and both begin
with nothing running; whatever a way needs beside the windows (starts, baseline windows, settling) is in its time.
"""

from __future__ import annotations

import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import _live
import optuna
from _common import SCRIPTS, machine, options, publish, say, spread, table

from advisor import wire
from advisor.session.session import SessionResult

SCRIPT = SCRIPTS / "slow_start.py"
SPACE = {"num_workers": (0, 1, 2), "precision": (None, "bf16"), "threads": (None, 1)}
Settings = dict[str, str | int | float | bool | None]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="of both ways, in turns")
    parser.add_argument("--window", type=float, default=2.0, help="seconds counted of each configuration")
    arguments = parser.parse_args()
    before = machine()
    live, processes = [], []
    for number in range(arguments.rounds):
        ways = [(live, one_process), (processes, one_process_a_trial)]
        for kept, way in ways if number % 2 == 0 else reversed(ways):
            kept.append(timed(way, arguments))
            say(f"{way.__name__}: {kept[-1]:.2f} s a configuration")
    rows = [
        ("live windows of one process", spread(live)),
        ("Optuna, a process for every trial", spread(processes)),
        ("ratio", spread([slow / fast for slow, fast in zip(processes, live, strict=True)])),
    ]
    parts = [
        f"{len(configurations())} configurations ({', '.join(SPACE)}), {arguments.window:g} s counted of each;"
        f" {arguments.rounds} rounds: median (lowest … highest).",
        table(("way", "seconds a configuration"), rows),
    ]
    publish("cost", "What trying a configuration costs", before, parts, keep=not arguments.no_result)


def configurations() -> list[Settings]:
    """Every combination, the script as written among them."""
    found: list[Settings] = [{}]
    for name, values in SPACE.items():
        found = [{**known, **({} if value is None else {name: value})} for known in found for value in values]
    return found


def timed(way: object, arguments: Namespace) -> float:
    begin_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="advisor-cost-") as folder:
        count = way(Path(folder), arguments.window)  # type: ignore[operator]
    return (time.perf_counter() - begin_s) / int(count)


def one_process(folder: Path, window_s: float) -> int:
    """As `advisor tune` does it: a window as written between any two others."""
    wanted = configurations()
    windows = [_live.window("base 0", {}, window_s)]
    for number, settings in enumerate(wanted):
        windows += [
            _live.window(f"trial {number}", settings, window_s),
            _live.window(f"base {number + 1}", {}, window_s),
        ]
    check(run(folder, windows), [f"trial {number}" for number in range(len(wanted))])
    return len(wanted)


def one_process_a_trial(folder: Path, window_s: float) -> int:
    """As a hand-written study does it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    grid = {name: [str(value) for value in values] for name, values in SPACE.items()}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid, seed=0))

    def objective(trial: optuna.Trial) -> float:
        asked = {name: trial.suggest_categorical(name, choices) for name, choices in grid.items()}
        settings = {name: value for name, values in SPACE.items() for value in values if str(value) == asked[name]}
        chosen = {name: value for name, value in settings.items() if value is not None}
        done = check(run(folder / str(trial.number), [_live.window("trial", chosen, window_s)]), ["trial"])[0]
        return sum(count or 0 for count in done.samples) / sum(done.wall_s)

    study.optimize(objective, n_trials=len(configurations()))
    return len(study.trials)


def run(folder: Path, windows: Sequence[wire.Window]) -> SessionResult:
    return _live.run(SCRIPT, [], windows, folder=folder)


def check(result: SessionResult, names: Sequence[str]) -> list[wire.WindowDone]:
    found = [result.outcomes.get(name) for name in names]
    for name, outcome in zip(names, found, strict=True):
        if not isinstance(outcome, wire.WindowDone):
            raise SystemExit(f"{name} was not measured: {outcome}")
    return [outcome for outcome in found if isinstance(outcome, wire.WindowDone)]


if __name__ == "__main__":
    main()

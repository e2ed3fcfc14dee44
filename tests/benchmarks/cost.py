"""What trying one configuration costs: live windows against a process for every trial.

    python tests/benchmarks/cost.py [--window 0.25] [--least]

Both ways try the same configurations of the same script, which takes five seconds to start, and count windows of the
same length: by default of the shortest that `advisor tune` uses. The one process has the windows of a search's short
trials: beside each trial a window of the baseline, or of the best so far once that is much faster. The other way is
what a hand-written Optuna study does: one process a trial. Neither is stopped early, and both begin with nothing
running; whatever a way needs beside the counted windows (starts, windows to compare with, settling) is in its time. The
one process is measured before and after the many. Ctrl-C keeps what there is.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import _live
import optuna
from _common import SCRIPTS, collect, machine, options, publish, say, spread, table

from advisor import wire
from advisor.analysis.pace import Pace
from advisor.analysis.setting_windows import window
from advisor.runtime.session import Planner
from advisor.runtime.session_result import SessionResult
from advisor.search import preset, windows
from advisor.search.knowledge import MUCH_FASTER
from advisor.search.windows import LEAST_WINDOW_S
from advisor.types import Config
from advisor.verification import windows as process_windows
from advisor.wire import WindowRole

SCRIPT = SCRIPTS / "slow_start.py"
SPACE = {
    "num_workers": (0, 1, 2),
    "precision": (None, "bf16"),
    "threads": (None, 1),
    "fused_optimizer": (None, "fused"),
}
LEAST = ("num_workers",)
"""The knobs of the smallest form."""
START_UP_S = 5
UPDATE_S = 0.02
"""About what an update of the script takes: a search knows it from its profile."""
Settings = dict[str, str | int | float | bool | None]


@dataclass(frozen=True, kw_only=True)
class Timed:
    way: str
    seconds: float = 0.0
    """A configuration."""
    count: int = 0
    failure: str | None = None


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--window", type=float, default=LEAST_WINDOW_S, help="seconds counted of each configuration")
    parser.add_argument("--least", action="store_true", help=f"of {', '.join(LEAST)} only")
    arguments = parser.parse_args()
    if arguments.least:
        for name in [name for name in SPACE if name not in LEAST]:
            del SPACE[name]
    before = machine()
    found, interrupted = collect(
        (one_process, one_process_a_trial, one_process),
        lambda way: timed(way, arguments.window),
        lambda way, why: Timed(way=WAYS[way], failure=why),
    )
    live = [one.seconds for one in found if one.way == WAYS[one_process] and one.failure is None]
    slow = [one.seconds for one in found if one.way == WAYS[one_process_a_trial] and one.failure is None]
    rows = [
        (one.way, f"FAILED: {one.failure}", "–") if one.failure else (one.way, f"{one.seconds:.2f}", one.count)
        for one in found
    ]
    ratio = "" if not live or not slow else f" Ratio: {spread([slow[0] / fast for fast in live], '{:.1f}')}."
    parts = [
        *([interrupted] if interrupted else []),
        f"{len(configurations())} configurations ({', '.join(SPACE)}) of a script that starts in {START_UP_S} s beside"
        f" its imports, {arguments.window:g} s counted of each; in the one process a window of the"
        " baseline or of the best so far beside each." + ratio,
        table(("way", "seconds a configuration", "configurations"), rows),
    ]
    publish("cost", "What trying a configuration costs", before, parts,
            keep=not arguments.no_result and not arguments.least)  # fmt: skip


def configurations() -> list[Settings]:
    """Every combination, the script as written among them."""
    found: list[Settings] = [{}]
    for name, values in SPACE.items():
        found = [{**known, **({} if value is None else {name: value})} for known in found for value in values]
    return found


def timed(way: Way, window_s: float) -> Timed:
    begin_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="advisor-cost-") as folder:
        count = way(Path(folder), window_s)
    found = Timed(way=WAYS[way], seconds=(time.perf_counter() - begin_s) / count, count=count)
    say(f"{found.way}: {found.seconds:.2f} s a configuration")
    return found


def one_process(folder: Path, window_s: float) -> int:
    """Try them as `advisor tune` does: each in a short trial."""
    wanted = configurations()
    check(_live.run(SCRIPT, [], trials(wanted, pace(window_s)), folder=folder), names(len(wanted)))
    return len(wanted)


def trials(wanted: Sequence[Settings], pace: Pace) -> Planner:
    """Yield the windows of short trials; what each is compared with stands behind it, or before it for two of them."""
    best, gain = Config(), 1.0
    last = windows.baseline_window("search", pace)
    outcomes = yield [last]
    for name, settings in zip(names(len(wanted)), wanted, strict=True):
        beside = windows.baseline_window(name, pace)
        if gain >= MUCH_FASTER:
            beside = window(f"best {name}", WindowRole.REFERENCE, best, pace)
        own = window(name, WindowRole.TRIAL, Config.of(settings), pace)
        if has_just_run := (last.role, last.config) == (beside.role, beside.config):
            beside = last
        sent = [own] if has_just_run else [own, beside]
        outcomes = yield sent
        last = sent[-1]
        ratio = rate(outcomes[name]) / rate(outcomes[beside.id])
        over_baseline = ratio * (gain if beside.role is WindowRole.REFERENCE else 1.0)
        if over_baseline > gain:
            best, gain = Config.of(settings), over_baseline


def one_process_a_trial(folder: Path, window_s: float) -> int:
    """As a hand-written study does it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    grid = {name: [str(value) for value in values] for name, values in SPACE.items()}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(grid, seed=0))

    def objective(trial: optuna.Trial) -> float:
        asked = {name: trial.suggest_categorical(name, choices) for name, choices in grid.items()}
        settings = {name: value for name, values in SPACE.items() for value in values if str(value) == asked[name]}
        chosen = {name: value for name, value in settings.items() if value is not None}
        own = window("trial", WindowRole.TRIAL, Config.of(chosen), windows.in_fresh_process(pace(window_s)))
        run = _live.run(SCRIPT, [], [process_windows.begin_window(), own], folder=folder / str(trial.number))
        done = check(run, ["trial"])[0]
        say(f"trial {trial.number}: {chosen}")
        return rate(done)

    study.optimize(objective, n_trials=len(configurations()))
    return len(study.trials)


def pace(window_s: float) -> Pace:
    """Return the lengths of windows as a search has them."""
    settings = replace(preset.read("quick"), window_s=window_s)
    return windows.paced(UPDATE_S, settings, available_s=math.inf, windows=1)


def names(count: int) -> list[str]:
    return [f"trial {number}" for number in range(count)]


def rate(outcome: object) -> float:
    """Return the samples/s of a measured window."""
    if not isinstance(outcome, wire.WindowDone):
        raise SystemExit(f"not measured: {outcome}")
    return sum(count or 0 for count in outcome.samples) / sum(outcome.wall_s)


def check(result: SessionResult, wanted: Sequence[str]) -> list[wire.WindowDone]:
    found = [result.outcomes.get(name) for name in wanted]
    for name, outcome in zip(wanted, found, strict=True):
        if not isinstance(outcome, wire.WindowDone):
            raise SystemExit(f"{name} was not measured: {outcome}")
    return [outcome for outcome in found if isinstance(outcome, wire.WindowDone)]


Way = Callable[[Path, float], int]
"""Tries all configurations in this folder, in windows of so many seconds; returns how many there were."""
WAYS: dict[Way, str] = {
    one_process: "live windows of one process",
    one_process_a_trial: "Optuna, a process for every trial",
}


if __name__ == "__main__":
    main()

"""Is what the search recommends as fast as the best of all combinations?

    python tests/benchmarks/oracle.py                      all workloads
    python tests/benchmarks/oracle.py image tabular        those whose name contains one of the words

For each workload: `advisor.tune` with a budget; then every combination of the values that its search had open, in live
windows of one run; then the script as written, the recommendation and the grid's best in fresh processes in turns. The
share of windows is the search's trials over the grid's combinations.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import _live
from _common import HERE, machine, options, publish, say, table

import advisor
from advisor import wire
from advisor.session import ratios, rounds
from advisor.types import Config, KnobSpace

WORKLOADS = HERE.parent / "workloads"
NAMES = (
    "image_augment",
    "tabular_json_rows",
    "remote_patches",
    "slow_collate_text",
    "sixteen_workers",
    "two_tower_fp32",
    "one_thread",
    "dense_adam_recsys",
    "per_tensor_optimizer",
)
KNOBS = ("num_workers", "persistent_workers", "prefetch_factor", "precision", "threads", "fused_optimizer")


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    combinations: int
    tried: int
    recommended: Config
    best: Config
    recommended_speedup: float
    best_speedup: float
    """Both over the script as written, from fresh processes."""

    @property
    def reached(self) -> float:
        return self.recommended_speedup / self.best_speedup


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; the result is kept only where all are run")
    parser.add_argument("--budget", default="60s", help="of the search")
    parser.add_argument("--window", type=float, default=1.0, help="seconds counted of each combination")
    parser.add_argument("--rounds", type=int, default=3, help="of fresh processes")
    arguments = parser.parse_args()
    before = machine()
    wanted = [name for name in NAMES if not arguments.words or any(word in name for word in arguments.words)]
    rows = []
    for name in wanted:
        rows.append(measure(name, arguments))
        say(f"{name}: {told(rows[-1].recommended)} reaches {rows[-1].reached:.2f} of {told(rows[-1].best)}")
    header = ("workload", "recommended", "speed-up", "best of the grid", "speed-up", "reached", "trials / combinations")
    lines = [
        (
            row.name,
            told(row.recommended),
            f"{row.recommended_speedup:.2f}",
            told(row.best),
            f"{row.best_speedup:.2f}",
            f"{row.reached:.2f}",
            f"{row.tried} / {row.combinations} ({row.tried / row.combinations:.0%})",
        )
        for row in rows
    ]
    parts = [
        f"Search: {arguments.budget}, knobs {', '.join(KNOBS)} as far as they are open. Speed-ups are medians of"
        f" {arguments.rounds} rounds of fresh processes, over the script as written in the same round.",
        table(header, lines),
    ]
    publish("oracle", "The recommendation beside the best of all combinations", before, parts,
            keep=not arguments.no_result and wanted == list(NAMES))  # fmt: skip


def measure(name: str, arguments: Namespace) -> Row:
    script = WORKLOADS / f"{name}.py"
    with tempfile.TemporaryDirectory(prefix="advisor-oracle-") as place:
        folder = Path(place)
        os.chdir(folder)
        found = advisor.tune(
            script, budget=arguments.budget, knobs=KNOBS, verify=False, runs=folder / "runs", isolation="none"
        )
        grid = combinations(found.space)
        best = best_of(script, grid, folder, arguments.window)
        speed = fresh(script, [Config(), found.recommendation.config, best], folder, arguments.rounds)
        return Row(
            name=name,
            combinations=len(grid),
            tried=sum(bool(trial.config.settings) for trial in found.trials),
            recommended=found.recommendation.config,
            best=best,
            recommended_speedup=speed[1],
            best_speedup=speed[2],
        )


def combinations(space: Sequence[KnobSpace]) -> list[Config]:
    """All but the script as written; a knob that changes the training is left out, as it is recommended apart."""
    kept = [knob for knob in space if knob.tier != "training" and knob.scope == "live"]
    choices = [[None, *knob.values] for knob in kept]
    names = [knob.id for knob in kept]
    found = [
        Config.of({name: value for name, value in zip(names, chosen, strict=True) if value is not None})
        for chosen in itertools.product(*choices)
    ]
    return [config for config in found if config.settings]


def best_of(script: Path, grid: Sequence[Config], folder: Path, window_s: float) -> Config:
    """The fastest in live windows, each beside a window as written; the script as written where none is faster."""
    windows = [_live.window("base 0", {}, window_s)]
    for number, config in enumerate(grid):
        windows.append(_live.window(f"trial {number}", config.as_dict(), window_s))
        windows.append(_live.window(f"base {number + 1}", {}, window_s))
    result = _live.run(script, [], windows, folder=folder / "grid", outlives_failures=True)
    speeds = {}
    for number, config in enumerate(grid):
        ratio = ratios.speedup(result, {f"trial {number}"}, None)
        if ratio is not None:
            speeds[config] = ratio.speedup
    fastest = max(speeds, key=speeds.__getitem__, default=Config())
    return fastest if speeds.get(fastest, 0.0) > 1.0 else Config()


def fresh(script: Path, configs: Sequence[Config], folder: Path, count: int) -> list[float]:
    """Speed-ups over the first, from `count` rounds of one fresh process each; the order turns from round to round."""
    logs: list[list[float]] = [[] for _ in configs]
    for number in range(count):
        order = list(range(len(configs)))
        rates = {}
        for place in order if number % 2 == 0 else reversed(order):
            wanted = replace(rounds.first_window(), config=configs[place].as_dict())
            run_folder = folder / f"fresh-{number}-{place}"
            done = _live.run(script, [], [wanted], folder=run_folder).outcomes[wanted.id]
            if not isinstance(done, wire.WindowDone):
                raise SystemExit(f"{script.name} with {told(configs[place])}: {done.message}")
            rates[place] = sum(count or 0 for count in done.samples) / sum(done.wall_s)
        for place in order:
            logs[place].append(math.log(rates[place] / rates[0]))
    return [math.exp(statistics.median(values)) for values in logs]


def told(config: Config) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.settings) or "as written"


if __name__ == "__main__":
    main()

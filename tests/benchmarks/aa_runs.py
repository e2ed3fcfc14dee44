"""Does `verify` find a difference where there is none? The script as written against itself, forty times.

    python tests/benchmarks/aa_runs.py                     forty verifications, ten of each script
    python tests/benchmarks/aa_runs.py --runs 4 --rounds 3

Every verification is the real one: fresh processes in turns, the planned looks, the losses of paired seeds; but the
"settings" are none. At most 5% may be called faster, and none may fail in quality. Ctrl-C keeps what there is.
"""

from __future__ import annotations

import os
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _common import HERE, collect, machine, options, publish, say, spread, table

import advisor
from advisor import hardware
from advisor.runtime import RunOptions
from advisor.runtime import isolation as isolations
from advisor.target import command
from advisor.types import Config, Verdict
from advisor.verification.verification_run import Finalist, verify_configs

WORKLOADS = HERE.parent / "workloads"
SCRIPTS = (
    Path(advisor.__file__).parent / "demo" / "train.py",
    WORKLOADS / "healthy_conv.py",
    WORKLOADS / "healthy_gru.py",
    WORKLOADS / "healthy_tabular.py",
)
BUDGET_S = 3600.0
"""Of one verification: it is the rounds that bound it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    script: str
    verdict: Verdict
    seconds: float


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of processes at most, in each")
    arguments = parser.parse_args()
    before = machine()
    # Threads that wait actively for each other are slow where anything else runs.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(prefix="advisor-aa-") as name:
        found, interrupted = collect(
            range(arguments.runs),
            lambda number: verified(SCRIPTS[number % len(SCRIPTS)], Path(name) / str(number), arguments),
            lambda number, why: f"Run {number + 1}, {SCRIPTS[number % len(SCRIPTS)].name}, FAILED: {why}",
        )
    runs = [run for run in found if isinstance(run, Run)]
    failures = [run for run in found if isinstance(run, str)]
    if runs:
        told_first = [*([interrupted] if interrupted else []), *failures]
        publish("aa_runs", "The script as written against itself", before, [*told_first, *parts(runs)],
                keep=not arguments.no_result)  # fmt: skip


def verified(script: Path, folder: Path, arguments: Namespace) -> Run:
    folder.mkdir()
    wanted = command.build(str(script), [], cwd=folder)
    begun = time.monotonic()
    found = verify_configs(
        wanted,
        [Finalist(config=Config(), effect="exact")],
        hardware=hardware.probe(folder=folder),
        run_folder=folder,
        isolation=isolations.choose("auto", project=folder, scratch=folder.parent / "scratch"),
        options=RunOptions(),
        budget_s=BUDGET_S,
        rounds=arguments.rounds,
    )
    if found.interrupted is not None:
        raise found.interrupted
    run = Run(script=script.name, verdict=found.configs[0].verdict, seconds=time.monotonic() - begun)
    say(told(run))
    return run


def parts(runs: Sequence[Run]) -> list[str]:
    statuses = Counter(run.verdict.status for run in runs)
    qualities = Counter(run.verdict.quality for run in runs)
    held = sum(run.verdict.low <= 1.0 <= run.verdict.high for run in runs)
    rows = [
        [
            number,
            run.script,
            f"{run.verdict.speedup:.3f}",
            f"{run.verdict.low:.3f}–{run.verdict.high:.3f}",
            run.verdict.rounds,
            f"{run.verdict.floor:.1%}",
            run.verdict.status,
            run.verdict.quality,
            f"{run.seconds:.0f}",
        ]
        for number, run in enumerate(runs, 1)
    ]
    return [
        f"Called faster: {statuses['faster']} of {len(runs)} (at most 5% may be). Slower: {statuses['slower']}. "
        f"No significant gain: {statuses['no significant gain']}. Undecided: {statuses['undecided']}.",
        f"The interval holds 1 in {held} of {len(runs)}. "
        f"Quality: {', '.join(f'{count} {name}' for name, count in sorted(qualities.items()))}. "
        f"Speed-ups found: {spread([run.verdict.speedup for run in runs], '{:.3f}')}.",
        table(["run", "script", "speed-up", "interval", "rounds", "floor", "verdict", "quality", "s"], rows),
    ]


def told(run: Run) -> str:
    verdict = run.verdict
    return (
        f"{run.script}: {verdict.status}, {verdict.speedup:.3f} ({verdict.low:.3f}–{verdict.high:.3f}), "
        f"{verdict.rounds} rounds, quality {verdict.quality}: {verdict.quality_evidence}"
    )


if __name__ == "__main__":
    main()

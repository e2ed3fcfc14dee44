"""Learning rates that three tools suggest for the same trainings, each judged by the loss after 300 updates with it.

    pip install torch-lr-finder==0.2.2 lightning matplotlib
    python tests/benchmarks/rate_finders.py [--seeds 5]

`advisor lr` gets the script with the good rate divided by 30; the others sweep from a tiny rate and see no rate of the
script's. In the noisy cases a batch is four images, and three of ten labels are wrong. Where a tool suggests nothing,
the script's rate is taken. All seeds are new to all tools.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from _common import HERE, collect, machine, options, publish, say, table
from _rate_finders import FINDERS
from range_test import GOOD, SCRIPT, STEPS, called, losses

POOR = 1 / 30
NOISY = ("--batch", "4", "--wrong-labels", "0.3")
ADVISOR = "advisor lr"
TOOLS = (ADVISOR, *FINDERS)


@dataclass(frozen=True, kw_only=True)
class Case:
    optimizer: str
    noisy: bool
    seed: int

    @property
    def title(self) -> str:
        return f"{self.optimizer}, noisy" if self.noisy else self.optimizer

    def words(self, rate: float) -> list[str]:
        noise = NOISY if self.noisy else ()
        return ["--optimizer", self.optimizer, "--seed", str(self.seed), "--lr", f"{rate:.6g}", *noise]


@dataclass(frozen=True, kw_only=True)
class Suggested:
    case: Case
    tool: str
    rate: float
    loss: float
    """Over all training images, after the updates."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    case: Case
    why: str


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    before = machine()
    cases = [
        Case(optimizer=optimizer, noisy=noisy, seed=seed)
        for noisy in (False, True)
        for optimizer in GOOD
        for seed in range(arguments.seeds)
    ]
    found, interrupted = collect(cases, in_turn, failed_case)
    rows = [row for rows in found for row in rows if isinstance(row, Suggested)]
    failed = [row for rows in found for row in rows if isinstance(row, Failed)]
    parts = [
        *([interrupted] if interrupted else []),
        *(f"Failed: {row.case.title}, seed {row.case.seed}: {row.why}" for row in failed),
        f"Training loss after {STEPS} updates: the mean over seeds, its range, and the range of the suggested rates.",
        table(("task", *TOOLS), _table(rows)),
        _summary(rows),
    ]
    publish("rate_finders", "Rates that three tools suggest", before, parts, keep=not arguments.no_result)


def failed_case(case: Case, why: str) -> list[Suggested | Failed]:
    return [Failed(case=case, why=why)]


def in_turn(case: Case) -> list[Suggested | Failed]:
    poor = GOOD[case.optimizer] * POOR
    rows: list[Suggested | Failed] = []
    for tool in TOOLS:
        rate = _by_advisor(case.words(poor)) if tool == ADVISOR else _by_another(tool, case.words(poor))
        loss = float(losses([sys.executable, SCRIPT, *case.words(rate or poor)])[0])
        rows.append(Suggested(case=case, tool=tool, rate=rate or poor, loss=loss))
        say(f"{case.title}, seed {case.seed}, {tool}: rate {rate or poor:.3g}, loss {loss:.4f}")
    return rows


def _by_advisor(words: Sequence[str]) -> float | None:
    with tempfile.TemporaryDirectory(prefix="advisor-rates-") as folder:
        printed = called([sys.executable, "-m", "advisor", "lr", "--json", "--runs", folder, SCRIPT, *words])
    suggestion = json.loads(printed)["suggestion"]
    return None if suggestion is None else float(suggestion["rate"])


def _by_another(tool: str, words: Sequence[str]) -> float:
    printed = called([sys.executable, str(HERE / "_rate_finders.py"), tool, *words])
    return float(next(line.split()[1] for line in printed.splitlines() if line.startswith("rate ")))


def _table(rows: Sequence[Suggested]) -> list[list[str]]:
    titles = list(dict.fromkeys(row.case.title for row in rows))
    return [
        [title, *(_cell([row for row in rows if row.case.title == title and row.tool == tool]) for tool in TOOLS)]
        for title in titles
    ]


def _cell(rows: Sequence[Suggested]) -> str:
    values, rates = [row.loss for row in rows], [row.rate for row in rows]
    return (
        f"{statistics.fmean(values):.3g} ({min(values):.3g} … {max(values):.3g}), "
        f"rates {min(rates):.2g} … {max(rates):.2g}"
    )


def _summary(rows: Sequence[Suggested]) -> str:
    own = {row.case: row.loss for row in rows if row.tool == ADVISOR}
    counts = []
    for tool in FINDERS:
        others = [row for row in rows if row.tool == tool]
        lower = sum(own[row.case] <= row.loss for row in others)
        counts.append(f"{lower} of {len(others)} against {tool}")
    return f"The loss at advisor's suggestion is lower or equal in {' and in '.join(counts)}."


if __name__ == "__main__":
    main()

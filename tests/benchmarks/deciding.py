"""How often is the verdict of fresh processes wrong, and how many rounds does a true gain take? Simulated.

    python tests/benchmarks/deciding.py               every spread, gain and disturbance, 1,000 verifications each
    python tests/benchmarks/deciding.py --times 100

The rule is the real one (`run_rounds`); only the processes are simulated: each draws its speed from a normal
distribution of logarithms, the machine slows down meanwhile (drift), and now and then another program holds it up
(outliers). At most 5% of equal versions may be called faster, also if a verification is continued again and again.
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from _common import machine, options, publish, table

from advisor.types.comparison import Side, VersionRun
from advisor.verification.rounds import OVERWHELMING_ROUNDS, Rounds, run_comparisons, run_rounds
from advisor.verification.verification_run import FEWEST

SPREADS = (0.01, 0.03, 0.05, 0.10, 0.15)
GAINS = (1.0, 1.05, 1.1, 1.3, 1.5, 2.0, 5.0)
ROUNDS = 10
UPDATES = 50
DRIFT = 0.05
"""Slowdown over ten rounds."""
OUTLIERS = (1.3, 1.5, 2.0)
"""How many times as long a process takes that another program held up."""
OUTLIER_RATE = 0.05
PIECES = (1, 2, 3)
"""Rounds that the time of one verification is enough for."""
CONTINUED_GAINS = (1.0, 1.1, 1.3)
MOST_CONTINUED = 20


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    name: str
    drift: float = 0.0
    outlier_rate: float = 0.0


DISTURBANCES = (
    Disturbance(name="none"),
    Disturbance(name="drift 5%", drift=DRIFT),
    Disturbance(name="outliers 5%", outlier_rate=OUTLIER_RATE),
)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--times", type=int, default=1000, help="verifications of each cell")
    arguments = parser.parse_args()
    before = machine()
    header = ["disturbance", "spread", "true gain", "faster", "slower", "in two rounds", "mean rounds"]
    header_of_continued = ["rounds each", "spread", "true gain", "faster", "slower", "mean rounds"]
    publish(
        "deciding",
        "Verdicts on simulated processes",
        before,
        [
            table(header, list(rows(arguments.times))),
            "Verifications that continue each other, each ended by its time, until one decides or there are "
            f"{MOST_CONTINUED} rounds:",
            table(header_of_continued, list(continued_rows(arguments.times))),
        ],
        keep=not arguments.no_result,
    )


def rows(times: int) -> Iterator[Sequence[object]]:
    for disturbance in DISTURBANCES:
        for spread in SPREADS:
            for gain in GAINS:
                found = [verification(seed, gain, spread, disturbance) for seed in range(times)]
                faster = [one for one in found if one.status == "faster"]
                yield (
                    disturbance.name,
                    f"{spread:.0%}",
                    f"{gain:g}",
                    f"{len(faster) / times:.1%}",
                    f"{sum(one.status == 'slower' for one in found) / times:.1%}",
                    f"{sum(len(one.pairs) <= OVERWHELMING_ROUNDS for one in faster) / times:.1%}",
                    f"{statistics.fmean(len(one.pairs) for one in found):.1f}",
                )


def continued_rows(times: int) -> Iterator[Sequence[object]]:
    for piece in PIECES:
        for spread in SPREADS:
            for gain in CONTINUED_GAINS:
                found = [continued(seed, gain, spread, piece) for seed in range(times)]
                yield (
                    piece,
                    f"{spread:.0%}",
                    f"{gain:g}",
                    f"{sum(one.status == 'faster' for one in found) / times:.1%}",
                    f"{sum(one.status == 'slower' for one in found) / times:.1%}",
                    f"{statistics.fmean(len(one.pairs) for one in found):.1f}",
                )


def continued(seed: int, gain: float, spread: float, piece: int) -> Rounds:
    """Return the last of several verifications, of `piece` rounds each, whose earlier rounds all count."""
    chance, runs = random.Random(seed), list[VersionRun]()
    while True:
        earlier = len(runs) // 2
        planned = max(ROUNDS, earlier + FEWEST) if earlier else ROUNDS
        found = Rounds(planned=planned, threshold=None, gain_only=True, earlier=earlier, runs=runs)
        started = itertools.count(1)
        now = {"processes": 0}

        def measure(place: int, _round: int) -> VersionRun:
            now["processes"] = next(started)  # noqa: B023  # called in this iteration only
            level = math.exp(chance.gauss(0.0, spread)) / (gain if place else 1.0)
            side: Side = "after" if place else "before"
            return VersionRun(side=side, updates=UPDATES, seconds=UPDATES * level, samples=UPDATES)

        run_comparisons(
            measure,
            [found],
            rounds=planned,
            budget_s=2.0 * piece,
            clock=lambda: float(now["processes"]),  # noqa: B023
            earlier=earlier,
        )
        runs = found.runs
        if found.decided or len(found.pairs) >= MOST_CONTINUED:
            return found


def verification(seed: int, gain: float, spread: float, disturbance: Disturbance) -> Rounds:
    chance, started = random.Random(seed), iter(range(2 * ROUNDS))

    def measure(side: Side) -> VersionRun:
        level = math.exp(chance.gauss(0.0, spread)) * (1 + disturbance.drift * next(started) / (2 * ROUNDS))
        if chance.random() < disturbance.outlier_rate:
            level *= chance.choice(OUTLIERS)
        speed = gain if side == "after" else 1.0
        return VersionRun(side=side, updates=UPDATES, seconds=UPDATES * level / speed, samples=UPDATES)

    return run_rounds(measure, rounds=ROUNDS, threshold=None, budget_s=math.inf)


if __name__ == "__main__":
    main()

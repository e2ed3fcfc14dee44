"""The statistic of `verify` on simulated processes: how often it is wrong, and what it takes to see a gain.

A process is one lucky or unlucky draw (3% between processes), its updates hang together (AR(1), 0.7), and the machine
gets slower by 2% while they all run.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
from collections import Counter
from dataclasses import dataclass, field

import pytest

from advisor import stats
from advisor.types import Config, TrialOutcome, Verdict
from advisor.types.comparison import VersionRun
from advisor.types.verification import VerifiedConfig
from advisor.verification.parity import Parity
from advisor.verification.rounds import INTERIM_ANALYSES, LEAST_FLOOR, Rounds, noise_floor, run_comparisons
from advisor.verification.verdicts import verdict_of
from advisor.verification.verification_run import winner

UPDATES = 50
BETWEEN_PROCESSES = 0.03
WITHIN = 0.05
"""Standard deviation of one update."""
CORRELATION = 0.7
DRIFT = 0.02
"""Over all processes of a whole verification."""
ROUNDS = 10
TIMES = 400
ALLOWED_FALSE = 0.05
PASSED = Parity(quality="passed", evidence="")
MEASURED = TrialOutcome(kind="measured")


@dataclass(kw_only=True)
class Machine:
    """Runs processes of given speeds; the script as written has speed 1."""

    seed: int
    between: float = BETWEEN_PROCESSES
    within: float = WITHIN
    held: float = 0.0
    """Share of the processes that get a tenth of the machine: another program holds the rest."""
    started: int = 0
    disturbed: bool = False
    """Whether the last process was one of those."""
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def process(self, speed: float) -> list[float]:
        """Seconds of its updates."""
        level = math.exp(self.chance.gauss(0.0, self.between)) * (1 + DRIFT * self.started / (2 * ROUNDS)) / speed
        self.disturbed = bool(self.held) and self.chance.random() < self.held
        if self.disturbed:
            level *= 10
        self.started += 1
        noise, wall_s = self.chance.gauss(0.0, self.within), []
        fresh = self.within * math.sqrt(1 - CORRELATION**2)
        for _ in range(UPDATES):
            noise = CORRELATION * noise + self.chance.gauss(0.0, fresh)
            wall_s.append(0.1 * level * math.exp(noise))
        return wall_s


def verified(seed: int, *speeds: float, rounds: int = ROUNDS, **noise: float) -> list[Verdict]:
    """The verdicts on finalists of these speeds."""
    machine = Machine(seed=seed, **noise)  # type: ignore[arg-type]
    comparisons = [Rounds(planned=rounds, threshold=None, gain_only=True) for _ in speeds]

    def measure(place: int, _number: int) -> VersionRun:
        wall_s = machine.process(speeds[place - 1] if place else 1.0)
        return VersionRun(
            side="after" if place else "before",
            updates=UPDATES,
            seconds=sum(wall_s),
            samples=8 * UPDATES,
            disturbed=machine.disturbed,
        )

    run_comparisons(measure, comparisons, rounds=rounds, budget_s=math.inf)
    return [verdict_of(comparison, PASSED) for comparison in comparisons]


@functools.cache
def statuses(speed: float, *, rounds: int = ROUNDS, **noise: float) -> Counter[str]:
    return Counter(verified(seed, speed, rounds=rounds, **noise)[0].status for seed in range(TIMES))


@pytest.mark.slow
def test_settings_that_change_nothing_are_seldom_called_faster() -> None:
    assert statuses(1.0)["faster"] <= ALLOWED_FALSE * TIMES


@pytest.mark.slow
@pytest.mark.parametrize("between", [0.005, 0.1, 0.15, 0.3])
def test_nor_are_they_on_a_quieter_or_noisier_machine(between: float) -> None:
    assert statuses(1.0, between=between)["faster"] <= ALLOWED_FALSE * TIMES


@pytest.mark.slow
@pytest.mark.parametrize("held", [0.2, 0.5])
@pytest.mark.parametrize("rounds", [2, 3, 5, 10])
def test_nor_where_the_speed_moves_tenfold_from_process_to_process(held: float, rounds: int) -> None:
    """Another program that comes and goes makes ratios of ten, and pairs of them that agree by chance."""
    found = statuses(1.0, rounds=rounds, held=held, between=0.005)
    assert found["faster"] <= ALLOWED_FALSE * TIMES
    assert found["slower"] <= ALLOWED_FALSE * TIMES


def test_one_slow_process_of_the_script_as_written_does_not_hide_a_clear_gain() -> None:
    """It widens the interval, as it must; the floor is not widened by it once more."""
    rates = [100.0, 101.0, 99.0, 100.5, 10.0]
    assert noise_floor(rates) == pytest.approx(LEAST_FLOOR, abs=0.01)
    assert noise_floor([100.0, 50.0, 99.0, 20.0, 10.0]) > 0.5  # type: ignore[operator]


def test_a_floor_is_that_of_the_mean_of_processes_that_scatter() -> None:
    chance = random.Random(1)
    floors = [noise_floor([math.exp(chance.gauss(0, 0.1)) for _ in range(10)]) for _ in range(TIMES)]
    assert statistics.median(floors) == pytest.approx(math.expm1(0.1 / math.sqrt(10)), rel=0.15)  # type: ignore[type-var]


def test_of_fewer_than_three_processes_no_floor_is_known() -> None:
    assert noise_floor([100.0, 100.0]) is None
    assert noise_floor([100.0, 100.0, 100.0]) == LEAST_FLOOR


@pytest.mark.parametrize(("between", "least"), [(0.01, 0.99), (0.05, 0.99), (0.10, 0.85), (0.15, 0.60)])
def test_two_rounds_decide_a_twofold_gain(between: float, least: float) -> None:
    assert statuses(2.0, rounds=2, between=between)["faster"] >= least * TIMES
    assert statuses(2.0, between=between)["faster"] >= 0.99 * TIMES


@pytest.mark.parametrize("between", [0.01, 0.03])
def test_two_rounds_decide_a_gain_of_half(between: float) -> None:
    assert statuses(1.5, rounds=2, between=between)["faster"] >= 0.9 * TIMES


def test_two_rounds_claim_no_smaller_gain_however_quiet_the_machine() -> None:
    assert statuses(1.35, rounds=2, between=0.001, within=0.001) == Counter(undecided=TIMES)


@pytest.mark.parametrize("between", [0.01, 0.05, 0.15])
def test_two_rounds_seldom_claim_what_is_not_there(between: float) -> None:
    """A hundredth of what all looks together may be wrong in: no error rate need be spent on this one."""
    found = statuses(1.0, rounds=2, between=between)
    assert found["faster"] + found["slower"] <= 0.01 * TIMES


def test_rounds_measured_before_have_spent_their_share_of_the_error_rate() -> None:
    """Five of ten rounds were analysed at three and at five: half of the 5% is left for the last analysis."""
    runs = [VersionRun(side=side, updates=100, seconds=1.0 + 0.2 * (at % 3), samples=None)  # type: ignore[arg-type]
            for at in range(5) for side in ("before", "after")]  # fmt: skip
    chance = random.Random(5)
    comparison = Rounds(planned=10, threshold=None, runs=runs, earlier=5)

    def measure(place: int, _number: int) -> VersionRun:
        seconds = math.exp(chance.gauss(0.0, 0.3))
        return VersionRun(side="after" if place else "before", updates=100, seconds=seconds, samples=None)

    run_comparisons(measure, [comparison], rounds=10, budget_s=math.inf, earlier=5)
    assert comparison.ratio is not None
    assert (len(comparison.pairs), comparison.ratio.confidence) == (10, pytest.approx(0.975))


def test_two_rounds_decide_nothing_while_other_programs_come_and_go() -> None:
    assert statuses(5.0, rounds=2, between=0.001, within=0.001, held=0.999)["faster"] == 0


def test_two_rounds_that_agree_by_chance_prove_no_small_gain() -> None:
    """Student's t-interval would be of no width; the assumed spread between processes is in this one."""
    comparisons = [Rounds(planned=3, threshold=None)]
    speeds = {(0, 0): 100, (1, 0): 141, (0, 1): 100, (1, 1): 141}

    def measure(place: int, number: int) -> VersionRun:
        side = "after" if place else "before"
        return VersionRun(side=side, updates=speeds[place, number], seconds=1.0, samples=None)  # type: ignore[arg-type]

    run_comparisons(measure, comparisons, rounds=2, budget_s=math.inf)
    ratio = comparisons[0].ratio
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    assert (comparisons[0].status, ratio.low < 1.3, ratio.high > 1.5) == ("faster", True, True)


@pytest.mark.slow
def test_of_two_finalists_that_change_nothing_seldom_one_comes_out() -> None:
    def comes_out(seed: int) -> bool:
        verdicts = verified(seed, 1.0, 1.0)
        configs = [
            VerifiedConfig(config=Config.of({"threads": place}), effect="numerics", verdict=verdict, outcome=MEASURED)
            for place, verdict in enumerate(verdicts)
        ]
        return winner(configs) is not None

    assert sum(map(comes_out, range(TIMES))) <= ALLOWED_FALSE * TIMES


@pytest.mark.slow
def test_settings_that_change_nothing_are_seldom_called_slower() -> None:
    assert statuses(1.0)["slower"] <= ALLOWED_FALSE * TIMES


def test_the_simulated_machine_would_deceive_who_pools_updates() -> None:
    """The unit of evidence is the process: were updates taken for it, such noise would make differences of nothing."""

    def deceived(seed: int) -> bool:
        machine = Machine(seed=seed)
        logs = [[math.log(second) for _ in range(3) for second in machine.process(1.0)] for _ in range(2)]
        own, other = (stats.mean_interval(values) for values in logs)
        return own.high < other.low or other.high < own.low

    assert sum(map(deceived, range(TIMES))) > 0.3 * TIMES


@pytest.mark.parametrize(
    ("speed", "between", "least"),
    [
        (1.05, 0.01, 0.70),
        (1.10, 0.03, 0.95),
        (1.10, 0.05, 0.65),
        (1.30, 0.10, 0.95),
        (1.20, 0.03, 0.99),
        (1.50, 0.03, 0.99),
        (3.00, 0.10, 0.99),
    ],
)
def test_power(speed: float, between: float, least: float) -> None:
    """The share of verifications of ten rounds that call such a gain faster."""
    assert statuses(speed, between=between)["faster"] >= least * TIMES


def test_a_clear_gain_takes_six_processes_at_most() -> None:
    rounds = [verified(seed, 3.0)[0].rounds for seed in range(TIMES)]
    assert sum(count <= INTERIM_ANALYSES[0] for count in rounds) >= 0.99 * TIMES


def test_a_gain_below_what_counts_is_not_called_faster() -> None:
    assert statuses(1.01)["faster"] <= ALLOWED_FALSE * TIMES


def test_the_interval_holds_the_true_ratio() -> None:
    verdicts = [verified(seed, 1.10)[0] for seed in range(TIMES)]
    held = sum(verdict.low <= 1.10 <= verdict.high for verdict in verdicts)
    assert held >= (1 - ALLOWED_FALSE) * TIMES


def test_of_a_clear_loss_is_known_that_it_is_no_gain() -> None:
    """That it is a loss takes more rounds than what is asked."""
    found = statuses(0.8)
    assert found["slower"] + found["no significant gain"] >= 0.99 * TIMES
    assert found["slower"] >= 0.5 * TIMES


def test_equal_speeds_on_a_quiet_machine_are_no_significant_gain() -> None:
    assert statuses(1.0, between=0.005, within=0.01)["no significant gain"] >= 0.9 * TIMES


def test_what_is_undecided_is_decided_by_about_the_rounds_told() -> None:
    """Half of them by fewer, half by more, about: it is an estimate from few processes."""
    told = [
        (seed, verdict.rounds_to_decide)
        for seed in range(TIMES)
        if (verdict := verified(seed, 1.08, rounds=3)[0]).status == "undecided" and verdict.rounds_to_decide
    ][:100]
    decided = sum(verified(seed, 1.08, rounds=rounds)[0].status != "undecided" for seed, rounds in told)
    assert decided >= 0.4 * len(told)

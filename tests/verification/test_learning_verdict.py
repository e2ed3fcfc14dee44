"""Verdicts on simulated trainings: noise of single losses, of seeds, and of the machine."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from advisor.analysis.time_to_loss import binned
from advisor.types import JudgedBy, LearningVerdict, LossCurve, TrainingRun
from advisor.verification.learning_verdict import curve_of, judge

UPDATES = 400
NOISE = 0.05
OF_SEEDS = 0.02
"""Standard deviation of the level that a seed's losses have at the end."""


def training(
    loss: Callable[[float], float], seed: int, *, own: int = 0, update_s: float = 0.01, end: str = "measured"
) -> TrainingRun:
    """A training whose loss depends on the share of its updates."""
    level = random.Random(seed).gauss(0.0, OF_SEEDS)
    chance = random.Random(1000 * seed + own)
    pace_s = update_s * math.exp(chance.gauss(0.0, 0.03))
    curve = LossCurve(
        updates=tuple(range(1, UPDATES + 1)),
        seconds=tuple(pace_s * number for number in range(1, UPDATES + 1)),
        losses=tuple(loss(number / UPDATES) + level + chance.gauss(0.0, NOISE) for number in range(1, UPDATES + 1)),
    )
    return TrainingRun(seed=seed, planned_updates=UPDATES, end=end, message="the loss rose", training=curve)  # type: ignore[arg-type]


def falling(speed: float, least: float = 0.5) -> Callable[[float], float]:
    return lambda share: least + 2.0 * math.exp(-3.0 * speed * share)


def verdict(
    before: Callable[[float], float],
    after: Callable[[float], float],
    *,
    seeds: int = 3,
    begin: int = 0,
    objective: str = "time_to_loss",
    **options: object,
) -> LearningVerdict:
    pairs = [
        (training(before, seed), training(after, seed, own=1, **options))  # type: ignore[arg-type]
        for seed in range(begin, begin + seeds)
    ]
    return judge(pairs, loss="training loss", objective=objective)  # type: ignore[arg-type]


def test_twice_the_speed_is_proven_by_three_seeds() -> None:
    found = verdict(falling(1), falling(2))
    assert found.status == "faster"
    assert found.low > 1.05
    assert found.low < 1.9 < found.high
    assert found.reached == 3
    assert [pair.seed for pair in found.pairs] == [0, 1, 2]


def test_equal_trainings_are_never_faster() -> None:
    statuses = Counter(verdict(falling(1), falling(1), begin=10 * number).status for number in range(60))
    assert statuses["faster"] <= 1
    assert statuses["loses at the end"] == 0


def test_a_slower_one_is_not_faster_and_misses_the_target() -> None:
    found = verdict(falling(1), falling(0.5))
    assert found.status == "slower"
    assert found.reached == 0


def test_one_that_is_ahead_on_the_way_and_stops_above_is_told_as_such() -> None:
    found = verdict(falling(1, least=0.4), falling(4, least=0.8))
    assert found.status == "loses at the end"
    assert found.why.startswith("ahead on the way, but the loss at the end changes by +0.2")


def test_one_that_reaches_the_target_and_is_lost_again_is_told_as_such() -> None:
    found = verdict(falling(1), lambda share: falling(3)(share) + max(0.0, share - 0.6))
    assert found.status == "loses at the end"


def test_programs_beside_some_processes_do_not_count_where_an_update_takes_as_long_on_both_sides() -> None:
    pairs = [
        (training(falling(1), seed, update_s=before_s), training(falling(3), seed, own=1, update_s=after_s))
        for seed, (before_s, after_s) in enumerate([(0.3, 0.02), (0.01, 0.1), (0.02, 0.02)])
    ]
    disturbed = judge(pairs, loss="training loss", objective="time_to_loss")
    assert disturbed.status == "undecided"
    found = judge(pairs, loss="training loss", objective="time_to_loss", same_pace=True)
    assert found.status == "faster"
    assert found.low < 2.5 < found.high
    times = [pair.baseline_s for pair in found.pairs if pair.baseline_s is not None]
    assert max(times) < 1.2 * min(times) < 5


def test_two_seeds_decide_nothing() -> None:
    assert verdict(falling(1), falling(3), seeds=2).status == "undecided"


def test_a_training_that_diverges_with_one_seed_is_slower_and_one_that_dies_is_unverified() -> None:
    assert verdict(falling(1), falling(2), end="diverged").status == "slower"
    found = verdict(falling(1), falling(2), end="oom")
    assert found.status == "unverified"
    assert found.why == "3 of 3 trainings with these settings failed: the loss rose"


def test_at_a_fixed_time_the_lower_loss_is_better() -> None:
    found = verdict(falling(1), falling(2), objective="loss_at_time")
    assert found.status == "better"
    assert found.change is not None
    assert -0.14 < found.change < -0.08  # 0.5 + 2 / e³ and 0.5 + 2 / e⁶, near the end
    assert verdict(falling(2), falling(1), objective="loss_at_time").status == "worse"


def test_one_that_is_finite_where_the_script_is_not_is_better_at_a_time_and_has_no_target_to_reach() -> None:
    pairs = [
        (replace(lost, end="nan"), training(falling(1), seed, own=1))
        for seed in range(3)
        for lost in [training(lambda share: math.nan if share > 0.5 else 2.0, seed)]
    ]
    lost_again = [
        (replace(one, training=finite_only(one.training)), two) for one, two in pairs if one.training is not None
    ]
    assert judge(lost_again, loss="training loss", objective="loss_at_time").status == "better"
    assert judge(lost_again, loss="training loss", objective="time_to_loss").status == "unverified"


def finite_only(curve: LossCurve) -> LossCurve:
    return replace(curve, losses=tuple(loss if math.isfinite(loss or 0.0) else None for loss in curve.losses))


def overfitting(speed: float, least: float = 0.5) -> Callable[[float], float]:
    """Falls until two thirds of the way at a speed of 1, and rises from there on."""
    return lambda share: least + 3.0 * abs(speed * share - 2 / 3)


def test_a_side_that_overfits_sooner_is_judged_by_its_lowest_loss() -> None:
    def found(after: Callable[[float], float], judged_by: JudgedBy) -> LearningVerdict:
        pairs = []
        for seed in range(3):
            sides = training(overfitting(1), seed), training(after, seed, own=1)
            pairs.append(tuple(replace(one, validation=binned(one.training, 40)) for one in sides))  # type: ignore[arg-type]
        return judge(pairs, loss="validation loss", objective="time_to_loss", judged_by=judged_by)  # type: ignore[arg-type]

    assert found(overfitting(3, least=0.4), "end").status == "loses at the end"
    twice = found(overfitting(3, least=0.4), "lowest")
    assert twice.status == "faster"
    assert twice.low < 3.0 < twice.high
    assert twice.why.startswith("the lowest loss changes by ")
    higher = found(overfitting(3, least=0.9), "lowest")
    assert higher.status == "loses at the end"
    assert higher.why.startswith("ahead on the way, but the lowest loss changes by +0.4")


def test_a_printed_metric_is_compared_where_the_script_printed_it() -> None:
    every = LossCurve(updates=(1, 2, 3, 4), seconds=(1.0, 2.0, 3.0, 4.0), losses=(4.0, 3.0, 2.0, 1.0))
    printed = LossCurve(updates=(2, 4), seconds=(2.0, 4.0), losses=(0.9, 0.8))
    run = TrainingRun(seed=1, planned_updates=4, end="measured", training=every, validation=printed)
    assert curve_of(run, "printed metric") is printed
    assert curve_of(run, "validation loss") is printed
    assert curve_of(run, "training loss") is every

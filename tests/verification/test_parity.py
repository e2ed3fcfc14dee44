"""Whether a training is still the same, on simulated losses: two processes of one seed see the same batches."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from analysis.windows import done

from advisor.verification.parity import Losses, Parity, judge

UPDATES = 50
TIMES = 200
RATE = 0.02
Pair = tuple[Losses, Losses]


def losses(seed: int, *, rate: float = RATE, updates: int = UPDATES, first: int = 10) -> Losses:
    """A loss that falls by `rate` an update, from a start that is the seed's luck, with the noise of its batches."""
    chance = random.Random(seed)
    begin = 2.3 + chance.gauss(0.0, 0.05)
    values = [begin * math.exp(-rate * update) + chance.gauss(0.0, 0.1) for update in range(first + updates)]
    return Losses(first=first, values=tuple(values[first:]))


def rounded(seed: int, **options: float) -> Losses:
    """The same batches, computed with other rounding."""
    same, chance = losses(seed, **options), random.Random(-seed - 1)  # type: ignore[arg-type]
    return replace(same, values=tuple(value * (1 + chance.gauss(0.0, 0.002)) for value in same.values if value))


def pairs(count: int, candidate: Callable[[int], Losses], start: int = 0) -> list[Pair]:
    return [(losses(seed), candidate(seed)) for seed in range(start, start + count)]


def judged(candidate: Callable[[int], Losses], *, rounds: int = 3, effect: str = "numerics") -> Counter[str]:
    """How often what came out, over many verifications."""
    found = [judge(effect, pairs(rounds, candidate, 1000 * number)) for number in range(TIMES)]
    return Counter("open" if one.open else one.quality for one in found)


def with_value(value: float | None, not_finite: int) -> Losses:
    return Losses(first=10, values=(*losses(0).values[:-1], value), not_finite=not_finite)


def only(parity: Parity) -> tuple[str, bool]:
    return parity.quality, parity.open


def test_other_rounding_passes() -> None:
    assert judged(rounded) == {"passed": TIMES}


def test_a_model_that_does_not_learn_fails() -> None:
    assert judged(lambda seed: rounded(seed, rate=0.0))["failed"] >= 0.99 * TIMES


def test_a_model_that_learns_at_half_the_rate_fails() -> None:
    assert judged(lambda seed: rounded(seed, rate=RATE / 2))["failed"] >= 0.99 * TIMES


@pytest.mark.parametrize("rate", [0.0, RATE / 2])
def test_windows_of_ten_updates_are_enough_to_see_it(rate: float) -> None:
    """A clear gain has short windows; they begin after ten updates of warm-up, in which losses have come apart."""
    found = [
        judge(
            "numerics", [(losses(seed, updates=10), rounded(seed, updates=10, rate=rate)) for seed in range(at, at + 3)]
        )
        for at in range(0, 3 * TIMES, 3)
    ]
    assert sum(one.quality == "failed" for one in found) >= 0.99 * TIMES


def test_rounds_of_different_lengths_are_judged_by_the_updates_that_all_have() -> None:
    """Otherwise the fall of the loss within the longer window would pass for an effect of the seed."""
    lengths = (50, 10, 10)
    slow = [(losses(at, updates=count), rounded(at, updates=count, rate=0.0)) for at, count in enumerate(lengths)]
    same = [(losses(at, updates=count), rounded(at, updates=count)) for at, count in enumerate(lengths)]
    assert judge("numerics", same).quality == "passed"
    assert judge("numerics", slow).evidence == judge("numerics", [(_cut(a), _cut(b)) for a, b in slow]).evidence


def _cut(whole: Losses) -> Losses:
    return replace(whole, values=whole.values[:10])


def test_other_draws_seldom_fail() -> None:
    """Loader workers draw their own augmentations: what is compared is not paired then."""
    assert judged(lambda seed: losses(seed + 500), effect="resampled")["failed"] <= 0.05 * TIMES


@pytest.mark.slow
def test_other_draws_pass_with_more_rounds() -> None:
    assert judged(lambda seed: losses(seed + 500), rounds=10, effect="resampled")["passed"] >= 0.95 * TIMES


def test_other_draws_do_not_hide_a_model_that_does_not_learn() -> None:
    assert judged(lambda seed: losses(seed + 500, rate=0.0), effect="resampled")["failed"] >= 0.95 * TIMES


def test_equal_losses_are_told_bit_by_bit() -> None:
    found = judge("exact", pairs(1, losses))
    assert only(found) == ("passed", False)
    assert found.evidence.startswith(f"all {UPDATES} losses of 1 pair of processes")
    assert "bitwise equal" in found.evidence


def test_unequal_losses_of_an_exact_setting_are_told() -> None:
    assert f"{3 * UPDATES} of {3 * UPDATES} losses are not bitwise equal" in judge("exact", pairs(3, rounded)).evidence


def test_losses_are_compared_update_by_update() -> None:
    """A process that settled for longer counts from a later update on."""
    shifted = [(one, Losses(first=14, values=one.values[4:44])) for one in map(losses, range(3))]
    found = judge("exact", shifted)
    assert found.evidence.startswith("all 120 losses")


@pytest.mark.parametrize("effect", ["exact", "numerics", "training"])
def test_a_loss_that_is_no_number_fails(effect: str) -> None:
    found = judge(effect, [(losses(0), with_value(None, 1))])
    assert only(found) == ("failed", False)
    assert "NaN or infinite in 1 of 50 updates" in found.evidence


def test_a_script_whose_own_loss_is_no_number_is_not_held_against_the_settings() -> None:
    assert judge("exact", [(with_value(None, 1), with_value(None, 1))]).quality == "passed"


def test_another_training_is_not_checked() -> None:
    assert only(judge("training", pairs(3, rounded))) == ("not checked", False)


def test_losses_that_nobody_saw_are_not_checked() -> None:
    blind = Losses(first=10, values=(None,) * UPDATES)
    found = judge("numerics", [(blind, blind)] * 3)
    assert only(found) == ("not checked", False)
    assert "could not be read" in found.evidence


def test_two_pairs_are_too_few_and_more_may_tell() -> None:
    assert only(judge("numerics", pairs(2, rounded))) == ("not checked", True)


def test_seeds_that_change_nothing_leave_room_for_rounding() -> None:
    same = [(losses(0), rounded(0)) for _ in range(3)]
    assert judge("numerics", same).quality == "passed"


def test_the_figures_are_in_the_evidence() -> None:
    found = judge("numerics", pairs(3, lambda seed: rounded(seed, rate=0.0)))
    assert "against" in found.evidence
    assert "other seeds differ" in found.evidence


def test_losses_are_read_from_a_window() -> None:
    window = replace(done("measured", [0.1] * 4, extra={"nan_losses": 2}), losses=[1.0, None, None, 2.0])
    assert Losses.of(window) == Losses(first=3, values=(1.0, None, None, 2.0), not_finite=2)


def test_a_baseline_without_finite_losses_is_named() -> None:
    """The settings cannot have changed a training that was broken before."""
    broken = replace(losses(0), values=(None,) * UPDATES, not_finite=UPDATES, not_finite_at_end=UPDATES)
    parity = judge("numerics", [(broken, broken)] * 3)
    assert only(parity) == ("not checked", False)
    assert parity.evidence == (
        f"without these settings, the loss was not finite in {UPDATES} of the {UPDATES} updates counted, including all "
        f"of the last {UPDATES}"
    )

"""What a search looks for, and how much better a configuration is by it."""

from __future__ import annotations

import pytest

from advisor.errors import UsageError
from advisor.search import Goal
from advisor.types import Ratio, TrialOutcome

BASELINE = TrialOutcome(kind="measured", samples_per_s=100.0, peak_bytes=1000, joules_per_sample=2.0)


def ratio(speedup: float, half: float = 0.01) -> Ratio:
    return Ratio(speedup=speedup, low=speedup - half, high=speedup + half, rounds=3)


def outcome(**values: float) -> TrialOutcome:
    return TrialOutcome(kind="measured", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("goal", "own", "score"),
    [
        (Goal(name="throughput"), outcome(), 1.5),
        (Goal(name="cost", price_per_hour=3.6), outcome(), 1.5),
        (Goal(name="memory"), outcome(peak_bytes=250), 4.0),
        (Goal(name="energy"), outcome(joules_per_sample=1.0), 2.0),
    ],
)
def test_a_score_says_how_many_times_better(goal: Goal, own: TrialOutcome, score: float) -> None:
    assert goal.score(ratio(1.5), own, BASELINE) == score


@pytest.mark.parametrize("name", ["memory", "energy"])
def test_what_was_not_measured_has_no_score(name: str) -> None:
    assert Goal.of(name).score(ratio(1.5), outcome(), BASELINE) is None


@pytest.mark.parametrize(("speedup", "admitted"), [(0.96, True), (0.94, False)])
def test_less_memory_may_cost_the_tolerance_of_the_speed(speedup: float, admitted: bool) -> None:
    assert Goal.of("memory", tolerance="5%").admits(ratio(speedup)) is admitted


def test_speed_itself_has_no_bound_below() -> None:
    assert Goal().admits(ratio(0.5))


@pytest.mark.parametrize(
    ("speedup", "half", "prospect"),
    [(1.2, 0.01, "lost"), (1.2, 0.3, "open"), (1.52, 0.05, "open"), (1.6, 0.05, "won"), (1.6, 0.3, "open")],
)
def test_a_longer_look_is_for_what_a_short_one_leaves_open(speedup: float, half: float, prospect: str) -> None:
    assert Goal().prospect(ratio(speedup, half=half), speedup, best=1.5, best_low=1.4) == prospect


@pytest.mark.parametrize(("speedup", "prospect"), [(0.9, "lost"), (1.0, "open"), (1.1, "won")])
def test_the_first_stands_beside_the_script_as_written(speedup: float, prospect: str) -> None:
    assert Goal().prospect(ratio(speedup), speedup, best=0.0, best_low=0.0) == prospect


def test_less_memory_at_half_the_speed_cannot_win() -> None:
    assert Goal.of("memory").prospect(ratio(0.5), 4.0, best=1.0, best_low=1.0) == "lost"


def test_less_memory_always_gets_a_longer_look() -> None:
    assert Goal.of("memory").prospect(ratio(1.0), 4.0, best=1.0, best_low=1.0) == "open"


def test_a_million_samples_cost_what_their_time_does() -> None:
    assert Goal.of("cost", price=3.6).value(outcome(samples_per_s=1000.0)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "baseline", "best"), [("throughput", 100.0, 200.0), ("memory", 1000.0, 500.0), ("energy", 2.0, 1.0)]
)
def test_the_result_tells_both_ends_in_the_objectives_unit(name: str, baseline: float, best: float) -> None:
    told = Goal.of(name).objective(BASELINE, 2.0)
    assert (told.baseline, told.best) == (baseline, best)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("speed", {}, "throughput, memory, energy, cost"),
        ("cost", {}, "price="),
        ("cost", {"price": -1.0}, "-1"),
        ("memory", {"price": 2.0}, "price=2.0"),
        ("throughput", {"tolerance": "5%"}, "tolerance=.5%."),
        ("memory", {"tolerance": "half"}, "half"),
        ("memory", {"tolerance": "120%"}, "120%"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(name: str, options: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        Goal.of(name, **options)  # type: ignore[arg-type]

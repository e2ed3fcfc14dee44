"""Which configurations of a search are worth fresh processes."""

from __future__ import annotations

from advisor.search.finalists import cheapest
from advisor.search.knowledge import FinalResult
from advisor.types import Config, Ratio

BEST = Config.of({"num_workers": 4, "pin_memory": True, "precision": "bf16"})
WORKERS = Config.of({"num_workers": 4})
EFFECTS = {"num_workers": "resampled", "pin_memory": "exact", "precision": "numerics"}


def ratio(speedup: float) -> Ratio:
    return Ratio(speedup=speedup, low=speedup - 0.05, high=speedup + 0.05, rounds=3)


def final_result(score: float) -> FinalResult:
    return FinalResult(ratio=ratio(score), score=score, fresh=True)


def effect(config: Config) -> str:
    order = ("exact", "resampled", "numerics", "training")
    return max((EFFECTS[name] for name, _value in config.settings), key=order.index, default="exact")


def meaningful(config: Config) -> Config:
    """Memory is pinned in workers only, here."""
    settings = config.as_dict()
    return config if "num_workers" in settings else Config.of({k: v for k, v in settings.items() if k != "pin_memory"})


def chosen(final_results: dict[Config, float], **gains: float) -> Config | None:
    return cheapest(
        BEST,
        {config: final_result(score) for config, score in final_results.items()},
        by_knob={name: ratio(gain) for name, gain in gains.items()},
        effect=effect,
        meaningful=meaningful,
    )


def test_a_finalist_with_less_that_is_as_good_is_the_cheapest() -> None:
    assert chosen({BEST: 2.0, WORKERS: 1.97}) == WORKERS


def test_one_that_is_worse_by_more_than_2_percent_is_not() -> None:
    assert chosen({BEST: 2.0, WORKERS: 1.95}) is None


def test_settings_that_give_nothing_are_left_out() -> None:
    assert chosen({BEST: 2.0}, num_workers=1.6, pin_memory=1.0, precision=1.25) == Config.of(
        {"num_workers": 4, "precision": "bf16"}
    )


def test_what_means_nothing_without_a_setting_is_left_out_with_it() -> None:
    assert chosen({BEST: 2.0}, num_workers=0.8, pin_memory=1.2, precision=1.5) == Config.of({"precision": "bf16"})


def test_what_is_left_out_together_gives_less_than_2_percent() -> None:
    found = chosen({BEST: 2.0}, num_workers=1.9, pin_memory=1.012, precision=1.015)
    assert found == Config.of({"num_workers": 4, "precision": "bf16"})


def test_a_setting_that_costs_speed_makes_no_room_for_others() -> None:
    found = chosen({BEST: 2.0}, num_workers=1.9, pin_memory=0.9, precision=1.05)
    assert found == Config.of({"num_workers": 4, "precision": "bf16"})


def test_the_milder_of_two_as_cheap_comes_first() -> None:
    precision = Config.of({"precision": "bf16"})
    assert chosen({BEST: 2.0, precision: 2.0, WORKERS: 1.99}) == WORKERS


def test_the_script_as_written_is_no_finalist() -> None:
    assert chosen({BEST: 1.01}, num_workers=1.0, pin_memory=1.0, precision=1.0) is None


def test_where_the_best_gains_by_all_its_settings_it_stands_alone() -> None:
    assert chosen({BEST: 2.0}, num_workers=1.5, pin_memory=1.1, precision=1.2) is None

"""Why a search tries no more."""

from __future__ import annotations

from pathlib import Path

from advisor.search import ending
from advisor.types import Config, Finding

from .machine import FULL_PRECISION, INPUT_BOUND, SMALL_STEPS, Machine


def test_a_search_without_time_says_how_much_was_left_and_what_a_trial_takes() -> None:
    assert ending.no_time(9.6, 12.2).startswith("10 s were left: a trial takes about 12 s")


def test_a_search_that_cannot_afford_the_rest_names_it() -> None:
    one = ending.nothing_left([Config.of({"compile": "default"})], 31.0)
    assert one == "compile=default needs more time or more starts of the script than there were; 31 s were left"
    assert ending.nothing_left([], 31.0) == "nothing that is worth a trial was left to try; 31 s were left"


def test_a_search_tells_why_it_ended(tmp_path: Path) -> None:
    def ended(name: str, *found: Finding, budget_s: float, speed: float | None = 1.0) -> str:
        (tmp_path / name).mkdir()
        return Machine(tmp_path / name, lambda _config: speed, *found, budget_s=budget_s).study.ended

    assert "a trial takes about" in ended("short", INPUT_BOUND, FULL_PRECISION, SMALL_STEPS, budget_s=12.0)
    assert ended("long", FULL_PRECISION, budget_s=600.0).startswith("nothing that is worth a trial was left to try; ")
    assert ended("cut", FULL_PRECISION, budget_s=600.0, speed=None).startswith("the time ended before a trial did")

"""A new verdict in a file that people read and edit: nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.settings_file.advisor_yaml import parse, with_verdict
from advisor.types import Verdict

FASTER = Verdict(
    status="faster",
    speedup=2.1234,
    low=2.0,
    high=2.25,
    rounds=3,
    floor=0.02,
    quality="passed",
    quality_evidence="all losses are equal",
)
BEFORE = """# mine
version: 1
settings:
  num_workers: 2  # mine, too
"""
AFTER = """
# Where this was found.
found:
  command: train.py
"""
OLD = """
# Measured in windows of one run, not yet in fresh processes.
verdict:
  status: unverified
  interval:
  - 1.0
  - 2.0

  rounds: 3
"""


def verdict_in(text: str) -> dict[str, object]:
    return dict(parse(text, Path("advisor.yaml")).verdict)


@pytest.mark.parametrize(
    "text",
    [
        BEFORE,
        BEFORE + AFTER,
        BEFORE + OLD + AFTER,
        BEFORE + "verdict: {status: slower}\n" + AFTER,
        BEFORE + '"verdict":\n  status: slower\n' + AFTER,
        BEFORE + "verdict:\n" + AFTER,
    ],
    ids=["none", "none before another block", "ours", "on one line", "quoted", "empty"],
)
def test_the_new_verdict_is_the_files(text: str) -> None:
    new = with_verdict(text, FASTER)
    assert verdict_in(new) == {
        "status": "faster",
        "speedup": 2.123,
        "interval": [2.0, 2.25],
        "rounds": 3,
        "quality": "passed",
    }
    assert new.startswith(BEFORE)


def test_what_stands_behind_it_stays() -> None:
    assert with_verdict(BEFORE + OLD + AFTER, FASTER).endswith(AFTER)


def test_it_can_be_done_again() -> None:
    once = with_verdict(BEFORE + OLD + AFTER, FASTER)
    assert with_verdict(once, FASTER) == once


def test_comments_of_the_old_verdict_go_with_it() -> None:
    assert "in windows" not in with_verdict(BEFORE + OLD + AFTER, FASTER)


def test_what_is_known_of_the_quality_is_a_comment() -> None:
    assert "# Quality: all losses are equal.\nverdict:" in with_verdict(BEFORE, FASTER)

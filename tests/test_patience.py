"""Patience: how it is written, and when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.patience import SMALLEST_CHANGE, Patience, Waiting, patience_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, Patience(5, SMALLEST_CHANGE)),
        ("5", Patience(5, SMALLEST_CHANGE)),
        ("1 evaluation", Patience(1, SMALLEST_CHANGE)),
        ("3 epochs", Patience(3, SMALLEST_CHANGE)),
        ("5 evaluations, 0.1%", Patience(5, 0.001)),
        (" 10,2 % ", Patience(10, 0.02)),
        ("4 evaluations, 0%", Patience(4, 0.0)),
    ],
)
def test_it_is_written_as_a_person_would(value: Any, expected: Patience) -> None:
    assert patience_of(value) == expected
    assert patience_of(str(expected)) == expected


@pytest.mark.parametrize("value", [0, "0 epochs", -1, True, None, 2.5, "", "soon", "5 updates", "5, 1", "5, 100%", "٥"])
def test_what_says_nothing_is_none(value: Any) -> None:
    assert patience_of(value) is None


def test_it_ends_after_so_many_evaluations_without_a_lower_loss() -> None:
    waiting = Waiting(Patience(2, 0.0))
    assert [waiting.saw(loss) for loss in (3.0, 2.0, 2.5, 1.9, 1.9, 2.0)] == [False, False, False, False, False, True]


def test_a_smaller_change_than_the_smallest_does_not_count() -> None:
    waiting = Waiting(Patience(2, 0.1))
    assert [waiting.saw(loss) for loss in (1.0, 0.95, 0.93)] == [False, False, True]
    assert waiting.lowest == 1.0


def test_a_loss_below_zero_may_fall_on() -> None:
    waiting = Waiting(Patience(1, 0.1))
    assert [waiting.saw(loss) for loss in (-1.0, -1.2, -1.25)] == [False, False, True]


def test_it_waits_anew() -> None:
    waiting = Waiting(Patience(2, 0.0))
    waiting.saw(1.0)
    waiting.saw(1.0)
    waiting.begin_again()
    assert not waiting.saw(1.0)

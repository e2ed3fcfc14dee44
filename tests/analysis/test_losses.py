"""When a loss that is not finite means that the training broke."""

from __future__ import annotations

import pytest

from advisor.analysis.losses import not_finite


@pytest.mark.parametrize(
    ("count", "at_end", "updates"),
    [
        (5, 5, 100),
        (3, 3, 3),
        (396, 0, 416),  # most of them, and the last is finite
        (51, 1, 100),
    ],
)
def test_a_training_that_does_not_recover_is_broken(count: int, at_end: int, updates: int) -> None:
    failure = not_finite(count, at_end, updates)
    assert failure is not None
    assert (failure.kind, f"in {count} of the {updates} updates" in failure.message) == ("nan", True)
    assert ("of the last" in failure.message) == (at_end > 1)


@pytest.mark.parametrize(("count", "at_end", "updates"), [(0, 0, 100), (4, 4, 100), (50, 0, 100), (3, 0, 5)])
def test_the_search_of_a_scaler_is_none(count: int, at_end: int, updates: int) -> None:
    assert not_finite(count, at_end, updates) is None

"""Which workers repeat draws that those of the script do not."""

from __future__ import annotations

import pytest

from advisor.repeated_draws import Workers, add_repeats

NONE, ONE, TWO = Workers(0, False), Workers(1, False), Workers(2, False)
ONE_STAYS, TWO_STAY = Workers(1, True), Workers(2, True)


@pytest.mark.parametrize(
    ("written", "wanted", "repeats"),
    [
        (NONE, ONE, True),  # it begins every epoch alike
        (NONE, ONE_STAYS, False),
        (NONE, TWO_STAY, True),  # both draw alike
        (ONE, NONE, False),
        (ONE, ONE_STAYS, False),
        (ONE, TWO, True),
        (ONE_STAYS, ONE, True),
        (TWO, Workers(8, False), False),  # as the script has it
        (TWO, TWO_STAY, False),
        (TWO_STAY, TWO, True),
        (TWO_STAY, Workers(8, True), False),
    ],
)
def test_they_repeat_what_the_script_does_not(written: Workers, wanted: Workers, repeats: bool) -> None:
    assert add_repeats(written, wanted) is repeats

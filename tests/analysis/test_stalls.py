"""Updates that the machine held up are left out where nothing in the script takes so long."""

from __future__ import annotations

import pytest

from advisor import wire
from advisor.analysis.stalls import without_stalls
from advisor.wire import WindowRole

from .windows import done, result

LONG = wire.Window(id="as written", role=WindowRole.PROFILE)
SHORT = wire.Window(id="tried", role=WindowRole.WHAT_IF, what_if="no_optimizer")


def kept(walls_s: list[float], usual_s: list[float]) -> int:
    """How many updates of a short window remain, beside these of the script as written."""
    window = done("tried", walls_s)
    found = result((LONG, done("as written", usual_s), 0), (SHORT, window, 0))
    (left,) = without_stalls([window], found)
    assert len(left.samples) == len(left.phases_s["forward"]) == len(left.wall_s)
    return len(left.wall_s)


USUAL = [0.02] * 99 + [0.04]


def test_an_update_that_nothing_in_the_script_explains_is_left_out() -> None:
    assert kept([0.017] * 17 + [0.175], USUAL) == 17


@pytest.mark.parametrize(
    ("walls_s", "usual_s"),
    [
        ([0.017] * 17 + [0.075], USUAL),  # within what the script itself shows
        ([0.017] * 17 + [0.175], [0.02] * 99 + [0.1]),  # the script has such updates, if rarely
        ([0.017] * 17 + [0.175], [0.02] * 20),  # of few updates, the longest says little
        ([0.09] * 17 + [0.175], USUAL),  # all updates are long under the what-if
        ([0.017] * 8 + [0.175] * 2, USUAL),  # no exception
        ([0.017, 0.175], USUAL),
    ],
)
def test_others_stay(walls_s: list[float], usual_s: list[float]) -> None:
    assert kept(walls_s, usual_s) == len(walls_s)

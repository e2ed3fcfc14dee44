"""What counts as the same answer in repeated profiles."""

from __future__ import annotations

from diagnosis import Diagnosed
from stability import agreeing, row


def told(rule: str | None, speedup: float = 2.0, *, busy: bool = False) -> Diagnosed:
    ceiling = {"speedup": speedup, "low": speedup - 0.3, "high": speedup + 0.3}
    loud = () if rule is None else ({"rule": rule, "severity": "warning", "ceiling": ceiling},)
    hint = {"rule": "compile_candidate", "severity": "info", "ceiling": ceiling}
    return Diagnosed(
        name="script", findings=(*loud, hint), abstained={}, updates=100, failure=None, exit_code=0, busy=busy
    )


def test_another_first_finding_disagrees() -> None:
    assert agreeing([told("a"), told("a"), told("b")]) == [True, True, False]


def test_a_ceiling_far_from_the_median_disagrees() -> None:
    assert agreeing([told("a", 2.0), told("a", 2.2), told("a", 3.0)]) == [True, True, False]


def test_hints_are_no_finding() -> None:
    assert agreeing([told(None, 2.0), told(None, 5.0), told("a")]) == [True, True, False]


def test_what_asks_to_be_repeated_is_counted_apart() -> None:
    found = row("script", [told("a"), told("a"), told("b", busy=True)])
    assert (found[2], found[3]) == ("2 of 2", "1")

"""How the verdicts on labelled scripts are counted."""

from __future__ import annotations

from diagnosis import Diagnosed, Fixed, fix_row, fixes_summary, labelled, totals

OWN, REPORTS = labelled.OWN / "script.py", labelled.REPORTS / "script.py"
LABEL = {"rule": "gc_pauses", "also": ["host_code"]}


def found(low: float, high: float) -> Diagnosed:
    ceiling = {"speedup": 2.0, "low": low, "high": high, "basis": "share"}
    finding = {"rule": "gc_pauses", "severity": "warning", "ceiling": ceiling}
    return Diagnosed(name="script", findings=(finding,), abstained={}, updates=100, failure=None, exit_code=0)


def gain(*ratios: float) -> Fixed:
    return Fixed(name="script", ratios=ratios, others_cpus=0.0)


def test_each_folder_is_counted_and_all_together() -> None:
    labels = {"a": {"path": OWN}, "b": {"path": REPORTS}, "c": {"path": REPORTS, "healthy": True}}
    text = totals(labels, {"a": "right", "b": "MISSED", "c": "FALSE ALARM"}).split("\n\n")
    assert text[0].startswith("All. Planted: 1 of 2 right")
    assert text[1].startswith("Written for this benchmark. Planted: 1 of 1 right")
    assert text[2] == (
        "From public reports. Planted: 0 of 1 right (0 by the label's rule, 0 by one of `also`)."
        " Healthy: 0 of 1 without a warning."
    )


def test_a_gain_is_compared_with_both_ends_of_the_ceiling() -> None:
    verdicts = [fix_row(found(1.5, 3.0), gain(ratio), LABEL)[0][-1] for ratio in (1.4, 1.5, 3.0, 3.1)]
    assert verdicts == ["BELOW", "inside", "inside", "ABOVE"]


def test_the_summary_says_how_wide_the_intervals_are() -> None:
    compared = [fix_row(found(1.0, high), gain(1.5), LABEL)[1] for high in (2.0, 4.0, 50.0)]
    assert "is 4.0 times the lower (median)" in fixes_summary(3, [one for one in compared if one is not None])

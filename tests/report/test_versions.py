"""What `compare --against` says of two versions, in one sentence and its evidence."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from advisor.report.comparison.versions import render_versions, versions_json
from advisor.types import Command, VersionComparison
from advisor.types.comparison import SpeedRatio, VersionRun

COMMAND = Command(target="train.py", is_module=False, args=(), cwd="/", interpreter="/py")


def comparison(status: Any, ratio: SpeedRatio, rates: tuple[int, ...] = (100, 10, 98)) -> VersionComparison:
    return VersionComparison(
        advisor="1",
        run_id="one",
        created="2026-11-22T06:35:19Z",
        command=COMMAND,
        against="main",
        commit="0123456789abcdef",
        ratio=ratio,
        rounds=len(rates),
        planned_rounds=10,
        status=status,
        threshold=None,
        gate=None,
        rounds_to_decide=None,
        isolation="overlay",
        changed_files=(),
        runs=tuple(VersionRun(side="before", updates=10, seconds=1.0, samples=rate) for rate in rates),
        notes=(),
    )


def told(found: VersionComparison) -> str:
    console = Console(file=io.StringIO(), width=400)
    render_versions(found, console)
    return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]


def ratio(**changes: Any) -> SpeedRatio:
    values = {"value": 14.2, "low": 0.31, "high": 650.0, "confidence": 0.95, "unit": "samples/s", "floor": 0.02}
    return SpeedRatio(**{**values, **changes})


def test_what_is_undecided_has_its_interval_and_its_reason_but_no_estimate() -> None:
    text = told(comparison("undecided", ratio()))
    assert text.startswith(
        "Undecided: the working tree is 0.31 to more than 100 times as fast as main (0123456789ab), which may be "
        "chance; the baseline's own speed varied by a factor of 10.0 between processes."
    )
    assert "14.2" not in text


def test_one_round_has_no_interval_and_no_estimate() -> None:
    text = told(comparison("undecided", ratio(low=None, high=None, confidence=None), (100,)))
    assert text.startswith("Undecided: 1 round, too few for an interval: the working tree is not compared with main")
    assert "14.2" not in text


@pytest.mark.parametrize(("rates", "known"), [((100, 101), False), ((100, 101, 99), True)])
def test_a_floor_is_told_of_three_processes_or_more(rates: tuple[int, ...], known: bool) -> None:
    assert ("noise floor 2.0%" in told(comparison("undecided", ratio(), rates))) is known


def test_changed_files_have_a_line_of_their_own() -> None:
    found = replace(comparison("faster", ratio()), changed_files=("modified /data/last.pt", "created log"))
    assert "isolation overlay changed modified /data/last.pt, created log" in told(found)
    assert "changed" not in told(comparison("faster", ratio()))


def test_what_is_decided_has_its_estimate() -> None:
    text = told(comparison("faster", ratio(value=2.0, low=1.9, high=2.1)))
    assert text.startswith("The working tree is 2.0× as fast as main (0123456789ab).")


def test_the_estimate_stays_where_machines_read_it() -> None:
    assert versions_json(comparison("undecided", ratio()))["ratio"] == {
        **{"value": 14.2, "low": 0.31, "high": 650.0},
        **{"confidence": 0.95, "unit": "samples/s", "floor": 0.02},
    }

"""Two stored runs side by side."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from advisor.report.comparison.runs import compare_profiles, comparison_json
from advisor.report.comparison.table import render_comparison
from advisor.types import Abstention

from . import sample


def test_the_ratio_is_later_over_earlier() -> None:
    comparison = compare_profiles(sample.input_bound(), sample.healthy())
    assert comparison.speed_ratio is not None
    assert round(comparison.speed_ratio, 2) == 2.35
    assert comparison.verdict == "The later run is 2.4× as fast."


def test_the_other_way_round_it_takes_as_much_longer() -> None:
    assert compare_profiles(sample.healthy(), sample.input_bound()).verdict == "The later run takes 2.4× as long."


def test_a_run_against_itself_shows_no_difference() -> None:
    comparison = compare_profiles(sample.healthy(), sample.healthy())
    assert comparison.verdict.startswith("No difference in speed beyond chance")
    assert {change.change for change in compare_profiles(sample.input_bound(), sample.input_bound()).findings} == {
        "same"
    }


def test_two_starts_are_never_more_than_a_rough_comparison() -> None:
    assert "at different times" in compare_profiles(sample.healthy(), sample.healthy()).caveats[0]


def test_other_hardware_is_a_caveat() -> None:
    caveats = compare_profiles(sample.healthy(), sample.gpu_transformer()).caveats
    assert any("hardware differs (accelerators): none and NVIDIA H200" in caveat for caveat in caveats)


def test_another_batch_is_a_caveat() -> None:
    base = sample.healthy()
    assert base.steps is not None
    other = replace(base, steps=replace(base.steps, samples_per_update=128.0))
    assert any("64.0 and 128 samples" in caveat for caveat in compare_profiles(base, other).caveats)


def test_without_counted_samples_updates_are_compared() -> None:
    base = sample.healthy()
    assert base.steps is not None
    other = replace(base, steps=replace(base.steps, samples_per_s=None, low=None, high=None))
    assert compare_profiles(base, other).unit == "updates/s"


def test_a_run_that_measured_nothing_has_no_ratio() -> None:
    comparison = compare_profiles(sample.healthy(), sample.hung())
    assert comparison.speed_ratio is None
    assert "cannot be compared" in comparison.verdict


def test_findings_are_gone_new_or_moved() -> None:
    before, after = sample.input_bound(), sample.input_bound()
    grown = replace(after.findings[1], share=0.4)
    new = replace(after.findings[2], rule="memory_creep")
    changes = {one.rule: one.change for one in compare_profiles(before, replace(after, findings=(grown, new))).findings}
    assert changes == {
        "evaluation_heavy": "more",
        "memory_creep": "new",
        "input_bound": "gone",
        "memory_headroom": "gone",
    }


def test_a_cost_that_stays_is_the_same_though_it_is_a_larger_share_of_shorter_updates() -> None:
    before = sample.input_bound()
    kept, left = before.findings[1], before.findings[0]
    before = replace(before, findings=(left, replace(kept, share=0.18, severity="warning")))
    assert before.steps is not None
    faster = replace(before.steps, updates_per_s=2.5 * before.steps.updates_per_s)
    after = replace(before, steps=faster, findings=(replace(kept, share=0.45, severity="critical"),))
    (change,) = [one for one in compare_profiles(before, after).findings if one.rule == kept.rule]
    assert (change.change, change.only_the_share_grew) == ("same", True)
    assert change.before_s == pytest.approx(change.after_s)
    assert (change.before_severity, change.after_severity) == ("warning", "critical")
    console = Console(file=io.StringIO(), width=100)
    render_comparison(compare_profiles(before, after), console)
    assert isinstance(console.file, io.StringIO)
    shown = " ".join(console.file.getvalue().split())
    assert f"{kept.rule} costs no more time than before: its share grew because updates are shorter." in shown
    assert "warning → critical" in shown


def test_a_finding_is_not_gone_where_its_rule_could_not_look() -> None:
    blind = replace(sample.healthy(), abstained=(Abstention(rule="input_bound", why="no loader was seen"),))
    changes = {one.rule: one.change for one in compare_profiles(sample.input_bound(), blind).findings}
    assert changes["input_bound"] == "not judged"
    assert {one.change for one in compare_profiles(sample.input_bound(), sample.hung()).findings} == {"not judged"}


def test_the_json_is_versioned_and_safe() -> None:
    document = json.loads(
        json.dumps(comparison_json(compare_profiles(sample.healthy(), sample.hung())), allow_nan=False)
    )
    assert document["version"] == 1
    assert document["speed_ratio"] is None


def test_the_terminal_shows_both_columns_and_the_change() -> None:
    console = Console(file=io.StringIO(), width=80)
    render_comparison(compare_profiles(sample.input_bound(), sample.healthy()), console)
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert "waiting for data 73.2 ms 1.00 ms −99%" in lines
    assert any(line.startswith("gone input_bound") and line.endswith("(62%) – critical") for line in lines)

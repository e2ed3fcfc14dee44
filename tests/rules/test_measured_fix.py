"""Findings whose own fix was measured."""

from __future__ import annotations

from typing import Any

import pytest

from advisor import rules
from advisor.rules._examples import call, healthy_cpu, measured_fix, optimizer, what_if
from advisor.types import Ceiling, Evidence, Finding, MeasuredFix

ONE_THREAD: dict[str, Any] = {
    "workload": {"flags": {"num_threads": 1}},
    "system": {"main_cpus": 1.0, "tree_cpus": 1.1},
    "what_ifs": {**what_if("no_data_wait", 1.0, 0.98, 1.02)},
}
COLLECTING: dict[str, Any] = {"system": {"gc_fraction": 0.4, "gc_collections_per_update": 1.0}}


def found(rule: str, evidence: Evidence) -> Finding | None:
    return next((finding for finding in rules.diagnose(evidence).findings if finding.rule == rule), None)


def finding(rule: str, evidence: Evidence) -> Finding:
    one = found(rule, evidence)
    assert one is not None
    return one


def one_thread(*fixes: MeasuredFix) -> Evidence:
    return healthy_cpu(**ONE_THREAD, fixes=fixes)


def test_the_gain_of_the_fix_is_the_ceiling() -> None:
    before = finding("threads_underused", one_thread()).ceiling
    after = finding("threads_underused", one_thread(measured_fix("threads", 8, 2.4)))
    assert before is not None
    assert before.basis == "share"
    assert after.ceiling is not None
    assert (after.ceiling.basis, after.ceiling.speedup) == ("measured fix", 2.4)
    assert after.ceiling.low < 2.4 * 0.95
    assert after.ceiling.high > 2.4 * 1.05
    assert after.fix is not None
    assert after.fix.setting == "threads=8"
    assert "2.40 times as fast" in after.evidence


@pytest.mark.parametrize(("speedup", "severity"), [(2.4, "critical"), (1.25, "warning"), (1.07, "info")])
def test_the_severity_follows_what_was_measured(speedup: float, severity: str) -> None:
    fix = measured_fix("threads", 8, speedup, speedup - 0.02, speedup + 0.02)
    assert finding("threads_underused", one_thread(fix)).severity == severity


def test_a_fix_that_gives_nothing_ends_the_finding() -> None:
    assert found("threads_underused", one_thread(measured_fix("threads", 8, 0.9, 0.85, 0.95))) is None


def test_a_fix_whose_interval_says_nothing_changes_no_ceiling() -> None:
    before = finding("threads_underused", one_thread())
    after = finding("threads_underused", one_thread(measured_fix("threads", 8, 1.3, 0.7, 2.2)))
    assert (after.ceiling, after.severity) == (before.ceiling, before.severity)


def test_the_share_is_no_less_than_the_fix_has_saved() -> None:
    after = finding("threads_underused", one_thread(measured_fix("threads", 8, 20.0)))
    assert after.share == pytest.approx(1 - 1 / 19)


def test_a_setting_that_is_one_way_of_several_leaves_the_most_that_can_be_gained() -> None:
    waiting: dict[str, Any] = {"phases": {"data_wait": 0.6}, "what_ifs": what_if("no_data_wait", 2.5)}
    before = finding("input_bound", healthy_cpu(**waiting))
    after = finding("input_bound", healthy_cpu(**waiting, fixes=(measured_fix("num_workers", 8, 1.4),)))
    assert after.ceiling == before.ceiling
    assert after.fix is not None
    assert "num_workers=8" in after.evidence


def test_a_setting_that_gives_more_than_was_promised_raises_the_ceiling() -> None:
    waiting: dict[str, Any] = {"phases": {"data_wait": 0.6}, "what_ifs": what_if("no_data_wait", 2.5)}
    after = finding("input_bound", healthy_cpu(**waiting, fixes=(measured_fix("cache_dataset", True, 3.2),)))
    assert after.ceiling is not None
    assert (after.ceiling.basis, after.ceiling.speedup) == ("measured fix", 3.2)
    assert "from the second epoch on" in after.evidence


def test_frozen_objects_are_the_fix_of_collections_unless_the_script_asks_for_these() -> None:
    frozen = (measured_fix("gc", "freeze", 1.48),)
    plain = finding("gc_pauses", healthy_cpu(**COLLECTING, fixes=frozen)).ceiling
    calls = {"calls": (call("gc.collect", seconds_per_update=0.04),)}
    asked_for = finding("gc_pauses", healthy_cpu(**COLLECTING, trace=calls, fixes=frozen)).ceiling
    assert plain is not None
    assert asked_for is not None
    assert (plain.basis, plain.speedup, asked_for.basis) == ("measured fix", 1.48, "share")


def test_frozen_objects_that_gain_nothing_leave_the_measured_share() -> None:
    gains_nothing = (measured_fix("gc", "freeze", 1.0, 0.98, 1.01),)
    kept = finding("gc_pauses", healthy_cpu(**COLLECTING, fixes=gains_nothing)).ceiling
    assert kept is not None
    assert kept.basis == "share"


def test_a_fused_form_is_the_fix_of_a_step_that_goes_tensor_by_tensor() -> None:
    slow: dict[str, Any] = {
        "phases": {"optimizer": 0.4},
        "what_ifs": what_if("no_optimizer", 1.6),
        "workload": {"optimizers": (optimizer(foreach=False, fused=False),)},
    }
    after = finding("optimizer_bound", healthy_cpu(**slow, fixes=(measured_fix("fused_optimizer", "fused", 1.5),)))
    assert after.ceiling is not None
    assert (after.ceiling.basis, after.severity) == ("measured fix", "critical")


def test_a_gain_that_no_finding_promised_is_a_finding() -> None:
    evidence = healthy_cpu(fixes=(measured_fix("precision", "bf16", 1.9),))
    one = finding("faster_setting", evidence)
    assert one.fix is not None
    assert (one.severity, one.fix.setting) == ("critical", "precision=bf16")


def test_a_small_gain_that_no_finding_promised_is_only_to_know() -> None:
    fix = measured_fix("precision", "bf16", 1.15, 1.12, 1.18)
    assert finding("faster_setting", healthy_cpu(fixes=(fix,))).severity == "info"


def test_no_gain_is_told_twice() -> None:
    evidence = one_thread(measured_fix("threads", 8, 2.4))
    assert found("faster_setting", evidence) is None


def test_a_wide_interval_that_is_all_a_gain_is_told() -> None:
    after = finding("threads_underused", one_thread(measured_fix("threads", 8, 6.7, 3.3, 13.7)))
    assert after.ceiling is not None
    assert (after.ceiling.basis, after.severity) == ("measured fix", "critical")


def test_the_ceiling_of_a_fix_is_at_least_no_gain() -> None:
    ceiling = Ceiling.from_fix(measured_fix("threads", 8, 0.98, 0.9, 1.06))
    assert (ceiling.speedup, ceiling.low) == (1.0, 1.0)
    assert ceiling.high > 1.06

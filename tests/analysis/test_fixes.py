"""Settings that a profile tries for its findings, or unprompted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from advisor import knobs, rules, wire
from advisor.analysis import fixes
from advisor.knobs._base import always
from advisor.rules._examples import healthy_cpu, optimizer
from advisor.runtime.script_run_record import ScriptRunRecord
from advisor.runtime.session_result import Outcome, SessionResult
from advisor.types import Config, Evidence
from advisor.wire import WindowRole

from .windows import done

UPDATE_S = 0.02
BF16_CPU = {"cpu": {"instruction_sets": ("avx512f", "avx512_bf16")}}
FULL = {"flags": {"autocast_dtype": None}}


def tried(
    evidence: Evidence,
    *,
    left_s: Callable[[int], float] = lambda _windows: 60.0,
    faster: dict[str, float] | None = None,
    refused: dict[str, str] | None = None,
) -> tuple[SessionResult, list[wire.Window]]:
    """Carry out the plan; a window with a setting of `faster` is so many times as fast, one of `refused` fails so."""
    result = SessionResult()
    plan = fixes.Fixes(result=result, read=lambda: evidence, left_s=lambda: left_s(len(result.windows)))
    carry_out(plan, faster or {}, refused or {})
    return result, list(result.windows.values())


def carry_out(
    plan: fixes.Fixes, faster: dict[str, float], refused: dict[str, str], *, until_left_s: float = 0.0
) -> None:
    result, planner = plan.result, plan.plan(until_left_s=until_left_s)
    asked = next(planner, None)
    while asked is not None:
        assert isinstance(asked, list)
        for window in asked:
            assert window.id not in result.windows
            result.windows[window.id], result.script_run_of[window.id] = window, 0
            result.outcomes[window.id] = outcome(window, len(result.windows), faster, refused)
        try:
            asked = planner.send(result.outcomes)
        except StopIteration:
            asked = None


def outcome(window: wire.Window, at: int, faster: dict[str, float], refused: dict[str, str]) -> Outcome:
    for name in window.config:
        if name in refused:
            return wire.WindowRefused(0, window.id, refused[name], "it cannot")
    update_s = UPDATE_S
    for name in window.config:
        update_s /= faster.get(name, 1.0)
    return done(window.id, [update_s] * 20, start_s=float(at))


def settings(windows: list[wire.Window]) -> list[str]:
    return [str(Config.of(window.config)) for window in windows if window.role is WindowRole.FIX]


def with_bf16(**changes: object) -> Evidence:
    """A transformer in float32 on a CPU with instructions for bf16, whose rule promises little."""
    given: dict[str, Any] = {"workload": FULL, "hardware": BF16_CPU, "compute": {"achieved_flops_per_s": 900e9}}
    return healthy_cpu(**{**given, **changes})


def test_a_fix_stands_between_windows_of_the_baseline() -> None:
    _result, windows = tried(with_bf16())
    for before, window, after in zip(windows, windows[1:], windows[2:], strict=False):
        if window.role is WindowRole.FIX:
            assert (before.role, before.config) == (after.role, after.config) == (WindowRole.REFERENCE, {})


def test_the_first_knob_of_each_finding_is_tried_before_what_no_finding_names() -> None:
    evidence = with_bf16(workload={**FULL, "optimizers": (optimizer(fused=False, foreach=True),)})
    assert "precision_unused" in [finding.rule for finding in rules.diagnose(evidence).findings]
    assert settings(tried(evidence)[1])[:3] == ["precision=bf16", "threads=6", "fused_optimizer=fused"]


def test_a_setting_that_gains_is_tried_again_and_its_gain_is_measured() -> None:
    evidence = with_bf16()
    result, windows = tried(evidence, faster={"precision": 1.8})
    assert settings(windows).count("precision=bf16") == fixes.ROUNDS
    (fix, *others) = fixes.measured(result, evidence.hardware, evidence.workload)
    assert (fix.setting, fix.rounds, fix.effect) == ("precision=bf16", fixes.ROUNDS, "numerics")
    assert fix.speedup == pytest.approx(1.8)
    assert all(other.speedup == pytest.approx(1.0) and other.rounds == 1 for other in others)


@pytest.mark.parametrize(
    "change", [{"effect": always("training")}, {"scope": "launch"}, {"samples_per": "update"}, {"needs": "compile"}]
)
def test_nothing_is_tried_that_changes_the_training_or_needs_more_than_a_switch(change: dict[str, Any]) -> None:
    evidence, knob = with_bf16(), knobs.get("precision")
    assert fixes.candidate_of(knob, evidence, evidence.workload) is not None
    assert fixes.candidate_of(replace(knob, **change), evidence, evidence.workload) is None


def test_no_more_is_tried_than_there_is_time_for() -> None:
    evidence = with_bf16()
    assert tried(evidence, left_s=lambda _windows: 0.2)[1] == []
    _result, windows = tried(evidence, left_s=lambda count: 60.0 if count < 3 else 0.2)
    assert len(settings(windows)) == 1


def test_a_setting_that_is_refused_does_not_end_the_others_and_says_why() -> None:
    evidence = with_bf16()
    result, windows = tried(evidence, refused={"precision": "refused"})
    assert len(settings(windows)) > 1
    assert list(fixes.refusals(result)) == ["precision=bf16 could not be tried: it cannot"]
    found = fixes.measured(result, evidence.hardware, evidence.workload)
    assert "precision" not in [fix.knob for fix in found]


def test_a_setting_that_breaks_the_script_is_the_last() -> None:
    _result, windows = tried(with_bf16(), refused={"precision": "crash"})
    assert settings(windows) == ["precision=bf16"]
    assert windows[-1].config == {"precision": "bf16"}


def test_a_setting_whose_loss_is_not_finite_gains_nothing() -> None:
    evidence = with_bf16()
    result, _windows = tried(evidence, faster={"precision": 1.8})
    base = wire.Window(id="base 0", role=WindowRole.BASELINE)
    result.windows["base 0"], result.outcomes["base 0"] = base, done("base 0", [UPDATE_S] * 5)
    result.script_run_of["base 0"] = 0
    lost = next(name for name, window in result.windows.items() if "precision" in window.config)
    found = result.outcomes[lost]
    assert isinstance(found, wire.WindowDone)
    result.outcomes[lost] = replace(found, losses=[None] * len(found.losses))
    assert "precision" not in [fix.knob for fix in fixes.measured(result, evidence.hardware, evidence.workload)]


def test_what_shows_at_the_end_of_an_epoch_is_seen_with_the_setting() -> None:
    loaders = {"loaders": (replace(healthy_cpu().workload.loaders[0], persistent_workers=False),)}
    evidence = healthy_cpu(
        workload=loaders,
        restarts={"seconds_per_restart": 2.0, "updates_per_epoch": 20.0, "share": 0.5},
        off_step={"loader_restart": 0.5},
    )
    _result, windows = tried(evidence)
    ends = [window.config for window in windows if window.kind == "epoch_end"]
    assert {"persistent_workers": True} in ends


def test_a_second_go_tries_what_the_first_had_no_time_for() -> None:
    plan = fixes.Fixes(
        result=SessionResult(), read=with_bf16, left_s=lambda: 60.0 if len(plan.result.windows) < 3 else 0.1
    )
    carry_out(plan, {}, {})
    first = settings(list(plan.result.windows.values()))
    plan.left_s = lambda: 60.0
    carry_out(plan, {}, {})
    both = settings(list(plan.result.windows.values()))
    assert len(first) == 1
    assert len(both) == len(set(both)) > 1


def test_what_may_break_the_script_waits_until_a_start_of_it_costs_no_window() -> None:
    result = SessionResult(script_runs=[ScriptRunRecord(number=0, started="", first_update_at_s=5.0)])
    plan = fixes.Fixes(result=result, read=with_bf16, left_s=lambda: 60.0)
    carry_out(plan, {}, {}, until_left_s=4.0)
    assert plan.postponed
    assert all(not knobs.get(name).fails_in for window in result.windows.values() for name in window.config)
    carry_out(plan, {}, {})
    assert "precision=bf16" in settings(list(result.windows.values()))


def test_the_time_of_what_waits_is_not_spent_on_less_promising_settings() -> None:
    window_s, until_left_s = 1.0, 4.0
    result = SessionResult(script_runs=[ScriptRunRecord(number=0, started="", first_update_at_s=5.0)])

    def left_s() -> float:
        return until_left_s + 5 * window_s - window_s * len(result.windows)

    plan = fixes.Fixes(result=result, read=lambda: with_bf16(steps={"mean_s": 0.4}), left_s=left_s)
    carry_out(plan, {}, {}, until_left_s=until_left_s)
    assert plan.postponed
    assert left_s() >= until_left_s + 3 * window_s
    carry_out(plan, {}, {})
    assert "precision=bf16" in settings(list(result.windows.values()))


@pytest.mark.parametrize(("apart_s", "tried_then"), [(0.1, True), (3.0, False)])
def test_windows_that_took_long_leave_time_for_fewer_settings(apart_s: float, tried_then: bool) -> None:
    result = SessionResult(arrived_s={str(number): apart_s * number for number in range(12)})
    plan = fixes.Fixes(result=result, read=with_bf16, left_s=lambda: 8.0 - 0.5 * len(result.windows))
    carry_out(plan, {}, {})
    assert bool(settings(list(result.windows.values()))) is tried_then


@pytest.mark.parametrize(("update_s", "kept"), [(0.02, True), (0.4, True), (3.0, False)])
def test_time_is_kept_for_settings_only_where_one_of_them_fits(update_s: float, kept: bool) -> None:
    assert (fixes.reserved_s(26.0, update_s) > 0) is kept

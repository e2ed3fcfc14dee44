"""The search follows the bottleneck: after a step forward it asks what limits the best so far, and opens what helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.analysis.ratios import chained
from advisor.search import SearchRequest
from advisor.types import Config, Diagnosis, Ratio
from advisor.wire import WindowRole

from .machine import FULL_PRECISION, INPUT_BOUND, Machine, selection, workers_help


class TwoLimits(Machine):
    """It waits for its loader; once workers feed it, the optimizer takes most of an update."""

    knobs = ("num_workers", "fused_optimizer", "global_batch")

    def _knobs(self, _found: Any) -> tuple[str, ...]:
        return self.knobs

    def phases(self, config: dict[str, Any]) -> dict[str, float]:
        if config.get("num_workers"):
            return {"data_wait": 0.02, "forward": 0.2, "backward": 0.2, "optimizer": 0.58}
        return {"data_wait": 0.6, "forward": 0.1, "backward": 0.1, "optimizer": 0.2}


def two_steps(config: dict[str, Any]) -> float:
    fed = workers_help(config)
    return fed * (1.5 if fed > 1 and config.get("fused_optimizer") == "fused" else 1.0)


def test_what_limits_the_best_after_a_step_opens_the_next_knob(tmp_path: Path) -> None:
    machine = TwoLimits(tmp_path, two_steps, INPUT_BOUND)
    assert {"fused_optimizer": "fused", "num_workers": 4} in machine.tried
    assert machine.recommended().config == Config.of({"fused_optimizer": "fused", "num_workers": 4})


def test_what_is_open_only_now_comes_before_more_against_the_last_limit(tmp_path: Path) -> None:
    """Though its finding is one to know only: on a CPU half precision is not sure to gain."""
    known = TwoLimits(tmp_path, two_steps, INPUT_BOUND).study.known
    assert known.best is not None
    space = replace(known.space, knobs=(*known.space.knobs, replace(known.space.knobs[0], id="precision")))
    unsure = replace(FULL_PRECISION, severity="info")
    known.diagnosed(known.best, Diagnosis(findings=(unsure,)), space)
    assert known.limit is not None
    assert (known.limit.knobs, known.limit.why) == (("precision",), "its time goes elsewhere now")
    known.diagnosed(known.best, Diagnosis(findings=(INPUT_BOUND,)), known.space)
    assert known.limit.knobs == INPUT_BOUND.knobs


def test_the_chain_says_what_limited_each_best_and_what_it_opened(tmp_path: Path) -> None:
    first, then = TwoLimits(tmp_path, two_steps, INPUT_BOUND).study.known.limits[:2]
    assert (first.config, first.opened) == (Config.of({"num_workers": 4}), ("global_batch",))
    assert "optimizer_bound" in [finding.rule for finding in first.findings]
    assert then.ratio.speedup == pytest.approx(3.0, rel=0.02)


def test_knobs_that_the_user_left_out_stay_closed_whatever_limits_the_best(tmp_path: Path) -> None:
    request = SearchRequest(selection=selection(("num_workers",)))
    machine = TwoLimits(tmp_path, two_steps, INPUT_BOUND, request=request)
    assert not any("fused_optimizer" in config for config in machine.tried)


def test_a_search_without_a_step_forward_asks_nothing(tmp_path: Path) -> None:
    machine = TwoLimits(tmp_path, lambda config: 1.05 if config else 1.0, INPUT_BOUND)
    assert machine.study.known.limits == []
    assert not any(window.id.startswith("limit") for window in machine.order)


def test_a_budget_that_is_nearly_spent_is_kept_for_the_trials(tmp_path: Path) -> None:
    assert TwoLimits(tmp_path, two_steps, INPUT_BOUND, budget_s=14.0).study.known.limits == []


def test_its_windows_are_not_those_of_the_baseline(tmp_path: Path) -> None:
    machine = TwoLimits(tmp_path, two_steps, INPUT_BOUND)
    asked = [window for window in machine.order if window.id.startswith("limit 0")]
    assert {window.role for window in asked} == {WindowRole.OBSERVATION}
    assert {tuple(window.config.items()) for window in asked} == {(("num_workers", 4),)}


# --- beside the best ----------------------------------------------------------------------------------------------


def test_trials_are_compared_with_the_best_so_far_once_that_is_much_faster(tmp_path: Path) -> None:
    machine = TwoLimits(tmp_path, two_steps, INPUT_BOUND)
    trial = next(one for one in machine.trials if "fused_optimizer" in one.config.as_dict())
    assert trial.beside == Config.of({"num_workers": 4})
    assert trial.step is not None
    assert trial.step.speedup == pytest.approx(1.5, rel=0.02)
    assert trial.ratio is not None
    assert trial.ratio.speedup == pytest.approx(3.0, rel=0.02)
    beside = next(w for w in machine.order if w.id == f"best trial {trial.number}")
    assert (beside.role, beside.config) == (WindowRole.REFERENCE, {"num_workers": 4})


def test_a_small_gain_leaves_the_baseline_as_what_trials_are_compared_with(tmp_path: Path) -> None:
    def small(config: dict[str, Any]) -> float:
        return 1.1 if config.get("num_workers") else 1.0

    machine = Machine(tmp_path, small, INPUT_BOUND, FULL_PRECISION)
    assert {one.beside for one in machine.trials} == {Config()}


def test_two_steps_make_one_ratio_whose_interval_holds_the_errors_of_both() -> None:
    first = Ratio(speedup=2.0, low=1.8, high=2.2, rounds=1)
    then = Ratio(speedup=1.5, low=1.4, high=1.6, rounds=3)
    both = chained(first, then)
    assert (both.speedup, both.rounds) == (pytest.approx(3.0), 3)
    assert 1.8 * 1.4 < both.low < min(1.8 * 1.5, 2.0 * 1.4)
    assert max(2.2 * 1.5, 2.0 * 1.6) < both.high < 2.2 * 1.6
    exact = replace(then, low=1.5, high=1.5)
    assert chained(first, exact).low == pytest.approx(1.8 * 1.5)

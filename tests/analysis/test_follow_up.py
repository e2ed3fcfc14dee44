"""The diagnosis of the best so far is as thorough as its time allows."""

from __future__ import annotations

import pytest

from advisor.analysis.follow_up import FollowUp
from advisor.rules._examples import healthy_cpu
from advisor.types import Config

BEST = Config.of({"num_workers": 8})
WORKLOAD = healthy_cpu().workload


def what_ifs(most_s: float) -> int | None:
    """Return the what-if windows of the plan within this time; None without a plan."""
    plan = FollowUp.within(most_s, BEST, 0, WORKLOAD, 0.02)
    if plan is None:
        return None
    assert plan.cost_s <= most_s
    return sum(window.what_if is not None for window in plan.windows)


def test_what_ifs_are_left_out_before_the_diagnosis_is() -> None:
    thorough = what_ifs(1000.0)
    assert thorough
    assert [what_ifs(seconds) for seconds in (1.0, 4.0)] == [None, 0]
    found = {what_ifs(seconds / 2) for seconds in range(2, 60)}
    assert found == {None, 0, thorough // 2, thorough}


@pytest.mark.parametrize("most_s", [4.0, 1000.0])
def test_phases_and_a_trace_are_in_every_plan(most_s: float) -> None:
    plan = FollowUp.within(most_s, BEST, 0, WORKLOAD, 0.02)
    assert plan is not None
    assert any(window.kind == "trace" for window in plan.windows)
    assert all(window.config == BEST.as_dict() for window in plan.sent)

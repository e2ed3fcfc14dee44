"""Compilations of the script's own, told from those that advisor's changes have led to."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from advisor.agent.observe.compiled_code import CompileTotals


@pytest.fixture
def dynamo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stand in for dynamo's counters."""
    utils = SimpleNamespace(guard_failures={"forward": []}, spent=0.0)
    utils.calculate_time_spent = lambda: {"total_wall_time": utils.spent}
    monkeypatch.setitem(sys.modules, "torch._dynamo.utils", utils)
    return utils


def test_code_compiled_for_a_setting_that_was_tried_is_not_the_scripts(dynamo: Any) -> None:
    totals = CompileTotals()
    totals.first_update_ended()
    dynamo.guard_failures["forward"].append("0/0: size of x changed")
    dynamo.spent = 2.0
    assert totals.report() is not None
    totals.before_change()
    dynamo.guard_failures["forward"] += ["0/1: autocast changed"] * 5
    dynamo.spent = 20.0
    totals.before_change()
    report = totals.report()
    assert report is not None
    assert (report["times"], report["seconds"], report["reason"]) == (1, 2.0, "size of x changed")


def test_nothing_compiled_before_a_change_is_nothing_after_it(dynamo: Any) -> None:
    totals = CompileTotals()
    totals.first_update_ended()
    totals.before_change()
    dynamo.guard_failures["forward"].append("0/0: autocast changed")
    assert totals.report() is None

"""The Python API: what it takes, and how what it returns shows itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import advisor
from advisor import api
from advisor.errors import UsageError

CALLS: dict[str, Callable[..., Any]] = {
    "profile": advisor.profile,
    "tune": advisor.tune,
    "compare_against": lambda script, **rest: api.compare_against("HEAD", script, **rest),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("budget", [30, 30.0, "30", "30s", "1.5m", "1h"])
def test_every_budget_is_a_duration(call: str, budget: str | float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no script"):
        CALLS[call](tmp_path / "none.py", budget=budget, runs=tmp_path)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("budget", "said"), [("soon", "is no time"), (0.5, "too short")])
def test_what_is_no_budget_is_told_before_anything_is_run(
    call: str, budget: str | float, said: str, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(UsageError, match=said):
        CALLS[call](tmp_path / "train.py", budget=budget, runs=tmp_path)

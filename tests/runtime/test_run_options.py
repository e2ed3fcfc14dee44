"""How a script is run: what the user's options become, and that they reach its process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from advisor.runtime import RunOptions, Session
from advisor.runtime import isolation as isolations
from advisor.runtime.run_options import Limits
from advisor.runtime.session import Planner
from advisor.target import command as commands
from advisor.verification.windows import first_window


def nothing_but_one_window() -> Planner:
    yield [first_window()]


def test_limits_that_are_not_given_are_the_usual_ones() -> None:
    assert RunOptions().limits == Limits()
    assert RunOptions(no_progress_limit_s=7.0).limits == Limits(no_progress_s=7.0)
    assert RunOptions(start_limit_s=5.0, memory_limit_bytes=9).limits == Limits(start_s=5.0, memory_bytes=9)


def test_runs_are_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    assert RunOptions(runs=tmp_path / "mine").root == tmp_path / "mine"
    assert RunOptions(runs=str(tmp_path)).root == tmp_path


@pytest.mark.parametrize("offline", [True, False])
def test_whether_trackers_are_offline_reaches_the_process(tmp_path: Path, offline: bool) -> None:
    script, folder = tmp_path / "train.py", tmp_path / "run"
    script.write_text("")
    folder.mkdir(mode=0o700)
    session = Session(
        command=commands.build(str(script), []),
        folder=folder,
        isolation=isolations.choose("none", project=tmp_path, scratch=tmp_path / "scratch"),
        options=RunOptions(trackers_offline=offline),
        loop_budget_s=10.0,
    )
    session.run(nothing_but_one_window())
    assert json.loads((folder / "life-0.json").read_text())["trackers_offline"] is offline

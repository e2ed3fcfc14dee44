"""Probes of scripts with a short plan: the same session, agent and assembly as `advisor profile`, fewer windows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advisor import __version__, wire
from advisor.analysis import assembly
from advisor.analysis.profile_plan import FIRST
from advisor.hardware import probe as probe_hardware
from advisor.runtime import RunOptions, Session, SessionResult, isolation
from advisor.runtime.session import Planner
from advisor.runtime.session_result import Outcome
from advisor.storage import run_store
from advisor.target import command
from advisor.types import Profile, Workload

FIRST_S = 0.6
REST_S = 4.0
"""The scripts end by themselves within less; how many updates they made is then known exactly."""
BUDGET_S = 30.0
REST = "rest"
OPTIONS = RunOptions(start_limit_s=90.0, no_progress_limit_s=20.0)


@dataclass(frozen=True, kw_only=True)
class Probed:
    profile: Profile
    result: SessionResult
    workload: Workload | None

    @property
    def first(self) -> wire.WindowDone:
        found = self.result.outcomes[FIRST]
        assert isinstance(found, wire.WindowDone), found
        return found

    @property
    def agent_errors(self) -> list[str]:
        return [
            note.text
            for script_run in self.result.script_runs
            for note in script_run.notes
            if note.kind == "agent_error"
        ]

    def window(self, name: str) -> Outcome | None:
        return self.result.outcomes.get(name)


def windows() -> list[wire.Window]:
    """As written, the two kinds that reach into the hooks, then all the rest of the script."""
    return [
        wire.Window(id=FIRST, warm_up_updates=3, min_updates=10, least_updates=2, min_s=FIRST_S, max_s=6.0),
        wire.Window(id="trace", kind="trace", warm_up_updates=1, min_updates=2, max_updates=2, max_s=3.0),
        wire.Window(id="bare", kind="bare", warm_up_updates=1, min_updates=2, max_updates=2, max_s=2.0),
        wire.Window(id=REST, warm_up_updates=0, min_updates=100_000, max_updates=100_000, max_s=REST_S),
    ]


def plan(wanted: Sequence[wire.Window]) -> Planner:
    yield list(wanted)


def probe(
    start: Sequence[str],
    args: Sequence[str] = (),
    *,
    cwd: Path,
    folder: Path,
    wanted: Sequence[wire.Window] | None = None,
    options: RunOptions = OPTIONS,
    max_script_runs: int = 1,
) -> Probed:
    """One life of `python start... args...` in `cwd`; its run is kept in `folder`."""
    is_module = start[0] == "-m"
    built = command.build(start[-1], list(args), is_module=is_module, interpreter=None, cwd=os.fspath(cwd))
    run = run_store.new_run(folder / "runs", built.target)
    protection = isolation.choose("auto", project=cwd, scratch=folder / "scratch")
    session = Session(
        command=built,
        folder=run.path,
        isolation=protection,
        options=options,
        loop_budget_s=BUDGET_S,
        max_script_runs=max_script_runs,
    )
    result = session.run(plan(wanted or windows()))
    profile = assembly.assemble(
        run_id=run.run_id,
        version=__version__,
        command=built,
        hardware=probe_hardware(folder=cwd),
        isolation=protection,
        result=result,
    )
    return Probed(profile=profile, result=result, workload=assembly.workload_of(result.script_runs[-1]))

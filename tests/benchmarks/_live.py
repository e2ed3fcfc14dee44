"""Windows of one process of a script, unprotected and with no limit that could cut them short."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from advisor import wire
from advisor.runtime import RunOptions, Session
from advisor.runtime import isolation as isolations
from advisor.runtime.session import Planner
from advisor.runtime.session_result import SessionResult
from advisor.target import command

FOREVER_S = 3600.0
MAX_SCRIPT_RUNS = 20


def run(
    script: Path,
    args: Sequence[str],
    windows: Sequence[wire.Window] | Planner,
    *,
    folder: Path,
    start_limit_s: float = FOREVER_S,
    outlives_failures: bool = False,
    budget_s: float = FOREVER_S,
) -> SessionResult:
    """Run windows, given at once or planned as they come up; return what came of them.

    The script works in `folder`, which is made, and what the run leaves lies within.
    `budget_s` from the first update on, the rest falls away. Ctrl-C and SIGTERM are raised.
    """
    (folder / "run").mkdir(parents=True)
    session = Session(
        command=command.build(str(script), list(args), cwd=folder),
        folder=folder / "run",
        isolation=isolations.choose("none", project=folder, scratch=folder / "scratch"),
        options=RunOptions(start_limit_s=start_limit_s),
        loop_budget_s=budget_s,
        outlives_failures=outlives_failures,
        max_script_runs=MAX_SCRIPT_RUNS,
    )
    result = session.run(windows if isinstance(windows, Generator) else _all_of(windows))
    if result.interrupted is not None:
        raise result.interrupted
    return result


def window(name: str, settings: Mapping[str, wire.Setting], counted_s: float) -> wire.Window:
    """Of so many counted seconds, under these settings."""
    return wire.Window(
        id=name,
        role=wire.WindowRole.TRIAL if settings else wire.WindowRole.BASELINE,
        config=dict(settings),
        natural=False,
        min_s=counted_s,
        max_updates=10**6,
        max_s=4 * counted_s + 10,
    )


def _all_of(windows: Sequence[wire.Window]) -> Planner:
    yield list(windows)

"""Commands that a reader of a search would type next."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass

from ...types import TuneResult, Verdict
from .. import format
from ..profile.headline import explain_command, export_command, function_call, options
from ..trial_format import is_number
from ..trial_rows import IN_WINDOWS
from .by_hand import instead_of_settings

CONFIG_FILE = "advisor.yaml"
PYTHON = "--python"
"""Option on how a script is run that a real training needs, too."""
TIMES_LARGER = 2.5
"""Ratio of the next budget to the one that was too small: both hold the start and the profile, so trials get more."""
LEAST_LARGER_MINUTES = 4


@dataclass(frozen=True, kw_only=True)
class Next:
    command: str
    why: str


def next_steps(result: TuneResult) -> tuple[Next, ...]:
    found = result.recommendation
    if found.command.function:
        return _next_of_function(result)
    command, verdict = format.one_line(found.command.display), found.verdict
    run, python = _run_options(result)
    name = shlex.quote(format.one_line(config_file(result)))
    baseline = Next(command=format.one_line(found.command.typed), why="runs the unmodified script")
    if not found.config.settings or verdict.quality == "failed":
        return (*_search_on(result, command), baseline) if verdict.status == "undecided" else (baseline,)
    written = () if result.files else (Next(command=export_command(result.profile), why=f"writes {CONFIG_FILE}"),)
    source = Next(command=f"advisor export --to patch {name}", why="writes the constants as a patch of the source")
    after = (source,) if found.constants else ()
    train = Next(
        command=f"advisor run --config {name} {python}{command}",
        why="trains with these settings; the script is not edited",
    )
    rounds = f"--rounds {verdict.rounds_to_decide} " if verdict.rounds_to_decide else ""
    prove = Next(command=f"advisor verify --update --config {name} {rounds}{run}{command}", why=_finishes(verdict))
    if verdict.status == "undecided":
        return *written, prove
    return (*written, prove, train, *after) if verdict.status in IN_WINDOWS else (*written, train, *after)


def _finishes(verdict: Verdict) -> str:
    return (
        "decides it in fresh processes" if verdict.status == "undecided" else "finishes verification in fresh processes"
    )


def _search_on(result: TuneResult, command: str) -> tuple[Next, ...]:
    """Return the next steps for a search that has decided nothing."""
    given = format.one_line(options((*result.search_options, *result.profile.run_options)))
    command = f"{given} {command}" if given else command
    first = format.worst(result.profile.findings)
    explained = () if first is None else (Next(command=explain_command(first), why="explains this finding"),)
    if not result.space and not result.tried:
        return (*explained, Next(command=f"advisor tune --dry-run {command}", why="shows the available settings"))
    if instead_of_settings(result):
        return explained
    if result.budget_s is None and not result.tried:
        return (Next(command=f"advisor tune {command}", why="tries the settings"),)
    if result.budget_s is None:  # it took what it planned, or was interrupted
        run = format.one_line(result.profile.run_id)
        return (Next(command=f"advisor tune --resume {run} {command}", why="continues this search"),)
    return (Next(command=f"advisor tune --budget {_larger_budget(result)} {command}", why="has the time to decide"),)


def _run_options(result: TuneResult) -> tuple[str, str]:
    """Return the user's options on how the script is run, and of them those that `advisor run` takes, too."""
    words = result.profile.run_options
    python = words[words.index(PYTHON) :][:2] if PYTHON in words else ()
    return format.one_line(options(words)) + " " * bool(words), format.one_line(options(python)) + " " * bool(python)


def _larger_budget(result: TuneResult) -> str:
    """Return the budget in whole minutes."""
    given_s = result.budget_s if is_number(result.budget_s) else None
    return f"{max(LEAST_LARGER_MINUTES, math.ceil(TIMES_LARGER * (given_s or 0.0) / 60))}m"


def _next_of_function(result: TuneResult) -> tuple[Next, ...]:
    """Return the next steps in Python, as no command line can start a function."""
    found = result.recommendation
    command, verdict, name = found.command, found.verdict, format.one_line(config_file(result))
    function = format.one_line(command.function.partition("(")[0])
    baseline = Next(command=f"{function}()", why="without settings")
    if not found.config.settings and verdict.status == "undecided":
        larger = function_call(command, f"tune --budget {_larger_budget(result)}")
        return Next(command=larger, why="has the time to decide"), baseline
    if not found.config.settings or verdict.quality == "failed":
        return (baseline,)
    save = Next(command=f"result.config.save({json.dumps(name)})", why="keeps these settings")
    prove = Next(command=function_call(command, "verify", name), why=_finishes(verdict))
    train = Next(
        command=f"advisor.apply({json.dumps(name)})",
        why=f"call this before {function}() to train with these settings",
    )
    written = () if result.files else (save,)
    if verdict.status == "undecided":
        return *written, prove
    return (*written, prove, train) if verdict.status in IN_WINDOWS else (*written, train)


def config_file(result: TuneResult) -> str:
    """Return the file that the settings were written to, or will be."""
    return next((name for name in result.files if name.endswith((".yaml", ".yml"))), CONFIG_FILE)

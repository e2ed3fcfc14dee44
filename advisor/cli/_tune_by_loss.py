"""`tune` for the objectives that are judged by a loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from ..errors import AdvisorError, InterruptedByUserError, UsageError
from ._options import RunKeywords
from ._output import live_progress
from ._results import exit_code_of_learning, show_learning
from ._settings import write_learned

if TYPE_CHECKING:
    from ..workflows.tune_learning import Learned


def by_loss(objective: str, horizon: str | None, config: Path | None, metric: str | None) -> bool:
    """Return whether the objective is judged by a loss; raise UsageError for options that do not go together."""
    from ..search.goals import BY_LOSS

    if objective in BY_LOSS:
        if horizon is None:
            example = "2000" if objective == BY_LOSS[0] else "5m"
            raise UsageError(
                f"--objective {objective} needs --horizon, such as --horizon {example}: losses are compared over it"
            )
        return True
    for option, value in (("--horizon", horizon), ("--config", config), ("--metric", metric)):
        if value is not None:
            raise UsageError(f"{option} applies only to --objective {BY_LOSS[0]} and --objective {BY_LOSS[1]}")
    return False


def tune_by_loss(
    run: RunKeywords,
    script: str,
    args: Sequence[str],
    *,
    objective: str,
    horizon: str | None,
    budget: str | None,
    knobs: Sequence[str] | None,
    no_knobs: Sequence[str],
    config: Path | None,
    verify: bool,
    metric: str | None,
    resume: str | None,
    output: Path,
    force: bool,
    json_output: bool,
    unused: Sequence[str],
) -> NoReturn:
    """Search, show the result and exit; `unused` names options that this objective does not take."""
    from .. import api

    if unused:
        raise UsageError(f"--{unused[0]} does not apply to --objective {objective}")
    assert horizon is not None  # by_loss() has seen to it
    try:
        with live_progress() as progress:
            found = api.tune_learning(
                script,
                args,
                horizon=horizon,
                objective=objective,
                budget=budget,
                knobs=knobs,
                no_knobs=no_knobs,
                config=config,
                verify=verify,
                metric=metric,
                resume=resume,
                progress=progress,
                **run,
            )
    except InterruptedByUserError as interruption:
        if interruption.found is not None:
            show_learning(interruption.found, json_output, None)
        raise
    _finish(found, output, force, json_output)


def _finish(found: Learned, output: Path, force: bool, json_output: bool) -> NoReturn:
    """Show the result, even if the file cannot be written after all."""
    try:
        found = write_learned(found, output, force)
    except AdvisorError:
        show_learning(found, json_output, None)
        raise
    show_learning(found, json_output, None)
    raise typer.Exit(exit_code_of_learning(found))

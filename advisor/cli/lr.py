"""The command `lr`: argv → api → print."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import ExitCode
from ._options import Args, Json, RunKeywords, Script
from ._output import early_ends_shown, live_progress
from ._results import show_range_test


def lr(
    run: RunKeywords,
    script: Script,
    args: Args = None,
    json_output: Json = False,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Time from the first update on, such as 90s or 5m.")
    ] = "5m",
) -> None:
    """Test learning rates on SCRIPT, and suggest one.

    The rate is swept over decades around the script's own, from one state of the training, in at most 200 updates.
    """
    from .. import api

    with early_ends_shown(lambda found: show_range_test(found, json_output)), live_progress() as progress:
        found = api.lr(script, args or [], budget=budget, progress=progress, **run)
    show_range_test(found, json_output)
    raise typer.Exit(ExitCode.OK if found.failure is None else ExitCode.SCRIPT_FAILED)

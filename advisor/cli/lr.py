"""The command `lr`: argv → api → print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ExitCode
from ._options import Args, Json, RunKeywords, Script
from ._output import early_ends_shown, live_progress
from ._results import Html, Page, page_path, show_range_test

if TYPE_CHECKING:
    from ..types import RangeTest


def lr(
    run: RunKeywords,
    script: Script,
    args: Args = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Time from the first update on, such as 90s or 5m.")
    ] = "5m",
) -> None:
    """Test learning rates on SCRIPT, and suggest one.

    The rate is swept over decades around the script's own, from one state of the training, in at most 200 updates.
    """
    from .. import api

    wanted = page_path(html, page, script)

    def shown(found: RangeTest) -> None:
        show_range_test(found, json_output, wanted)

    with early_ends_shown(shown), live_progress() as progress:
        found = api.lr(script, args or [], budget=budget, progress=progress, **run)
    shown(found)
    raise typer.Exit(ExitCode.OK if found.failure is None else ExitCode.SCRIPT_FAILED)

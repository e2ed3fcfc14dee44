"""The command `profile`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import InterruptedByUserError
from ._options import Args, Json, RunKeywords, Script
from ._output import live_progress
from ._results import Html, Page, exit_code_of_profile, page_path, show_profile


def profile(
    run: RunKeywords,
    script: Script,
    args: Args = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="Time from the first update, such as 90s or 2m. Default: 26s, or as long as five updates take.",
        ),
    ] = None,
    noise_scale: Annotated[
        bool,
        typer.Option(
            "--noise-scale",
            help="Also measure the gradient noise scale: the batch size beyond which larger batches stop paying.",
        ),
    ] = False,
) -> None:
    """Profile SCRIPT without changing it and report its bottlenecks."""
    from .. import api

    wanted = page_path(html, page, script)
    try:
        with live_progress() as progress:
            found = api.profile(script, args or [], budget=budget, noise_scale=noise_scale, progress=progress, **run)
    except InterruptedByUserError as interruption:
        show_profile(api.load_profile(interruption.run_folder), json_output, wanted)
        raise
    show_profile(found, json_output, wanted)
    raise typer.Exit(exit_code_of_profile(found))

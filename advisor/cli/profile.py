"""The command `profile`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import InterruptedByUserError
from ._options import (
    PASS_THROUGH,
    Args,
    Isolation,
    Json,
    MemoryLimit,
    Module,
    NoProgressLimit,
    Python,
    Runs,
    Script,
    StartLimit,
    Trackers,
    in_bytes,
)
from ._output import live_progress
from ._results import Html, Page, exit_code_of_profile, page_path, show_profile
from .misplaced_options import ScriptCommand


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(profile)


def profile(
    script: Script,
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    html: Html = False,
    page: Page = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Time from the first update, such as 90s or 2m.")
    ] = "26s",
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> None:
    """Profile SCRIPT without changing it and report its bottlenecks."""
    from .. import api

    try:
        with live_progress() as progress:
            found = api.profile(
                script,
                args or [],
                module=module,
                python=python,
                isolation=isolation,
                runs=runs,
                budget=budget,
                start_limit_s=start_limit,
                no_progress_limit_s=no_progress_limit,
                memory_limit_bytes=in_bytes(memory_limit),
                trackers_offline=not trackers,
                progress=progress,
            )
    except InterruptedByUserError as interruption:
        show_profile(api.load_profile(interruption.run_folder), json_output, page_path(html, page))
        raise
    show_profile(found, json_output, page_path(html, page))
    raise typer.Exit(exit_code_of_profile(found))

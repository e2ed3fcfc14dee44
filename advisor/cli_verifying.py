"""The command `verify`: argv → api → print."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .cli_options import PASS_THROUGH, Args, Isolation, Json, Module, Python, Runs, Script
from .errors import ExitCode, InterruptedByUserError, ScriptError

if TYPE_CHECKING:
    from .types import VerifyResult


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(context_settings=PASS_THROUGH)(verify)


def verify(
    script: Script,
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Settings, as advisor tune writes them.")],
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="Pairs of processes at most.")] = 10,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="For all rounds: 90s, 10m.")] = "10m",
    update: Annotated[bool, typer.Option("--update", help="Write the verdict into FILE.")] = False,
    start_limit: Annotated[
        float | None, typer.Option("--start-limit", metavar="SECONDS", help="Until the first update.", min=1.0)
    ] = None,
    no_progress_limit: Annotated[
        float | None, typer.Option("--no-progress-limit", metavar="SECONDS", help="Until it counts as hung.", min=1.0)
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option("--memory-limit", metavar="GIB", help="Of all the script's processes.", min=0.01)
    ] = None,
    trackers: Annotated[bool, typer.Option("--trackers", help="Leave experiment trackers online.")] = False,
) -> None:
    """Run SCRIPT with the settings of FILE against SCRIPT as written, in fresh processes, in turns.

    Exit code 6 where the settings are surely slower, change the losses, break the script or cannot be set; else 0.
    """
    from . import api
    from .report import LiveProgress

    try:
        with contextlib.closing(LiveProgress()) as progress:
            found = api.verify(
                config,
                script,
                args or [],
                rounds=rounds,
                budget=budget,
                module=module,
                python=python,
                isolation=isolation,
                runs=runs,
                start_limit_s=start_limit,
                no_progress_limit_s=no_progress_limit,
                memory_limit_bytes=int(memory_limit * 2**30) if memory_limit is not None else None,
                trackers_offline=not trackers,
                update=update,
                progress=progress,
            )
    except InterruptedByUserError as interruption:
        if interruption.found is not None:
            _show(interruption.found, json_output)
        raise
    except ScriptError as error:
        if error.stderr_tail:
            typer.echo(error.stderr_tail.rstrip(), err=True)
        raise
    _show(found, json_output)
    raise typer.Exit(_exit_code(found))


def _exit_code(found: VerifyResult) -> int:
    verdict = found.recommendation.verdict
    bad = verdict.status in ("slower", "unverified") or verdict.quality == "failed"
    return ExitCode.BELOW_THRESHOLD if bad else ExitCode.OK


def _show(found: VerifyResult, json_output: bool) -> None:
    from . import report as reports

    if json_output:
        typer.echo(json.dumps(reports.verify_json(found), indent=2, allow_nan=False))
        return
    from rich.console import Console

    reports.render_verify(found, Console())

"""The command `verify`: argv → api → print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ExitCode
from ._options import (
    PASS_THROUGH,
    Args,
    ConfigFile,
    Isolation,
    Json,
    MemoryLimit,
    Module,
    NoProgressLimit,
    Python,
    Rounds,
    RoundsBudget,
    Runs,
    Script,
    StartLimit,
    Trackers,
    in_bytes,
)
from ._output import early_ends_shown, live_progress, show
from .misplaced_options import ScriptCommand

if TYPE_CHECKING:
    from ..types import VerifyResult


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(verify)


def verify(
    script: Script,
    config: ConfigFile,
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    rounds: Rounds = 10,
    budget: RoundsBudget = "10m",
    update: Annotated[bool, typer.Option("--update", help="Write the verdict to FILE.")] = False,
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> None:
    """Compare the settings of FILE with the unmodified SCRIPT. The two run alternately, in fresh processes.

    The exit code is 6 if the settings are slower, change the losses, break the script or cannot be applied; else 0.
    """
    from .. import api

    with early_ends_shown(lambda found: _show(found, json_output)), live_progress() as progress:
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
            memory_limit_bytes=in_bytes(memory_limit),
            trackers_offline=not trackers,
            update=update,
            progress=progress,
        )
    _show(found, json_output)
    raise typer.Exit(_exit_code(found))


def _exit_code(found: VerifyResult) -> int:
    verdict = found.recommendation.verdict
    bad = verdict.status in ("slower", "unverified") or verdict.quality == "failed"
    return ExitCode.BELOW_THRESHOLD if bad else ExitCode.OK


def _show(found: VerifyResult, json_output: bool) -> None:
    from .. import report as reports

    show(found, json_output, reports.verify_json, reports.render_verify)

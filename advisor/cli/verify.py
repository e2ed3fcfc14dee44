"""The command `verify`: argv → api → print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ExitCode
from ._options import (
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

if TYPE_CHECKING:
    from ..types import VerifyResult


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
    update: Annotated[bool, typer.Option("--update", help="Write the verdict into FILE.")] = False,
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> None:
    """Run SCRIPT with the settings of FILE against SCRIPT as written, in fresh processes, in turns.

    Exit code 6 where the settings are surely slower, change the losses, break the script or cannot be set; else 0.
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
    from ..report.comparison.verification import render_verify, verify_json

    show(found, json_output, verify_json, render_verify)

"""The command `verify`: argv → api → print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ExitCode
from ._options import Args, ConfigFile, Json, Rounds, RoundsBudget, RunKeywords, Script
from ._output import early_ends_shown, live_progress, show

if TYPE_CHECKING:
    from ..types import VerifyResult


def verify(
    run: RunKeywords,
    script: Script,
    config: ConfigFile,
    args: Args = None,
    json_output: Json = False,
    rounds: Rounds = 10,
    budget: RoundsBudget = "10m",
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore rounds that were measured before.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Write the verdict to FILE.")] = False,
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
            update=update,
            fresh=fresh,
            progress=progress,
            **run,
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

"""The command `compare`, in both its forms: argv → api → print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ExitCode, UsageError
from ._choices import IsolationName
from ._options import Isolation, Json, Module, NoProgressLimit, Python, Rounds, RoundsBudget, Runs, StartLimit, Trackers
from ._output import early_ends_shown, live_progress, show
from .misplaced_options import ScriptCommand

if TYPE_CHECKING:
    from ..types import VersionComparison

AGAINST = "--against"


class CompareCommand(ScriptCommand):
    """Command whose words after the script are its own under `--against`; otherwise options may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Decide by the presence of the option, as no run has that name."""
        to_script = any(word == AGAINST or word.startswith(f"{AGAINST}=") for word in args)
        ctx.allow_interspersed_args = not to_script
        return super().parse_args(ctx, args)

    def script_of(self, ctx: Any) -> tuple[str | None, Sequence[str]]:
        """Return the script for `--against`; two stored runs are no script."""
        script = ctx.params["first"] if ctx.params["against"] is not None else None
        return script, ctx.params["rest"] or ()


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN|SCRIPT", help="Earlier run; with --against, the script.")],
    rest: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN|ARGS]...", help="Later run; with --against, arguments of the script."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(AGAINST, metavar="GITREF", help="Run SCRIPT now, in its current version and in that of GITREF."),
    ] = None,
    fail_below: Annotated[
        float | None,
        typer.Option(
            "--fail-below", metavar="RATIO", help="Exit with code 6 if the speed is clearly below this ratio."
        ),
    ] = None,
    rounds: Rounds = 10,
    budget: RoundsBudget = "10m",
    module: Module = False,
    python: Python = None,
    isolation: Isolation = IsolationName.AUTO,
    runs: Runs = None,
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    trackers: Trackers = False,
    json_output: Json = False,
) -> None:
    """Compare two stored runs, or two versions of SCRIPT. With --against, the versions run alternately.

    The exit code is 6 only if the whole interval lies below --fail-below; if the interval contains it, the code is 0.
    """
    from .. import api

    if against is None:
        _stored(first, rest or [], runs, fail_below, json_output)
        return
    with early_ends_shown(lambda found: _show(found, json_output)), live_progress() as progress:
        found = api.compare_against(
            against,
            first,
            rest or [],
            fail_below=fail_below,
            rounds=rounds,
            budget=budget,
            module=module,
            python=python,
            isolation=isolation,
            runs=runs,
            start_limit_s=start_limit,
            no_progress_limit_s=no_progress_limit,
            trackers_offline=not trackers,
            progress=progress,
        )
    _show(found, json_output)
    raise typer.Exit(ExitCode.BELOW_THRESHOLD if found.gate == "failed" else ExitCode.OK)


def _stored(first: str, rest: list[str], runs: Path | None, fail_below: float | None, json_output: bool) -> None:
    from .. import api
    from ..report.comparison.runs import comparison_json
    from ..report.comparison.table import render_comparison

    if len(rest) != 1:
        raise UsageError(
            f"expected two stored runs, got {1 + len(rest)}; to compare a script with another version of it, use "
            "`advisor compare --against GITREF SCRIPT`"
        )
    if fail_below is not None:
        raise UsageError("--fail-below needs --against GITREF: two stored runs prove nothing")
    found = api.compare(first, rest[0], runs=runs)
    show(found, json_output, comparison_json, render_comparison)


def _show(found: VersionComparison, json_output: bool) -> None:
    from ..report.comparison.versions import render_versions, versions_json

    show(found, json_output, versions_json, render_versions)

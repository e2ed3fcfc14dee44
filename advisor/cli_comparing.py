"""The command `compare`, in both its forms: argv → api → print."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from .errors import ExitCode, InterruptedByUserError, ScriptError, UsageError

if TYPE_CHECKING:
    from .types import VersionComparison

AGAINST = "--against"


class CompareCommand(TyperCommand):
    """With `--against` everything behind the script is the script's; without, options may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Decide by the presence of the option, as no run is called so."""
        to_script = any(word == AGAINST or word.startswith(f"{AGAINST}=") for word in args)
        ctx.allow_interspersed_args = not to_script
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command(cls=CompareCommand)(compare)


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN|SCRIPT", help="A stored run; with --against: the script.")],
    rest: Annotated[
        list[str] | None, typer.Argument(metavar="RUN|[ARGS]...", help="The later run; with --against: its arguments.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(AGAINST, metavar="GITREF", help="Run SCRIPT now, as it is and as it was there.")
    ] = None,
    fail_below: Annotated[
        float | None, typer.Option("--fail-below", metavar="RATIO", help="Exit code 6 where surely slower than this.")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="Pairs of processes at most.")] = 10,
    budget: Annotated[float, typer.Option("--budget", metavar="SECONDS", help="For all rounds.", min=1.0)] = 600.0,
    module: Annotated[bool, typer.Option("-m", help="SCRIPT is a module's name, as in `python -m`.")] = False,
    python: Annotated[
        str | None, typer.Option("--python", metavar="PATH", help="Interpreter of the script; needs torch.")
    ] = None,
    isolation: Annotated[
        str, typer.Option("--isolation", metavar="TIER", help="auto, overlay, landlock; copy or none: unprotected.")
    ] = "auto",
    runs: Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Where runs are kept.")] = None,
    start_limit: Annotated[
        float | None, typer.Option("--start-limit", metavar="SECONDS", help="Until the first update.", min=1.0)
    ] = None,
    no_progress_limit: Annotated[
        float | None, typer.Option("--no-progress-limit", metavar="SECONDS", help="Until it counts as hung.", min=1.0)
    ] = None,
    trackers: Annotated[bool, typer.Option("--trackers", help="Leave experiment trackers online.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Two stored runs side by side; or, with --against, SCRIPT as it is against SCRIPT at a git reference, in turns.

    Exit code 6 only where the whole interval lies below --fail-below; an interval that holds it decides nothing: 0.
    """
    from . import api

    if against is None:
        _stored(first, rest or [], runs, fail_below, json_output)
        return
    try:
        with _progress() as progress:
            found = api.compare_against(
                against,
                first,
                rest or [],
                fail_below=fail_below,
                rounds=rounds,
                budget_s=budget,
                module=module,
                python=python,
                isolation=isolation,
                runs=runs,
                start_limit_s=start_limit,
                no_progress_limit_s=no_progress_limit,
                trackers_offline=not trackers,
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
    raise typer.Exit(ExitCode.BELOW_THRESHOLD if found.gate == "failed" else ExitCode.OK)


def _stored(first: str, rest: list[str], runs: Path | None, fail_below: float | None, json_output: bool) -> None:
    from . import api
    from . import report as reports

    if len(rest) != 1:
        raise UsageError(
            f"compare takes two stored runs, got {1 + len(rest)}; to run a script against a version of it, "
            "write `advisor compare --against GITREF SCRIPT`"
        )
    if fail_below is not None:
        raise UsageError("--fail-below needs --against GITREF: two stored runs are no proof")
    found = api.compare(first, rest[0], runs=runs)
    if json_output:
        _print_json(reports.comparison_json(found))
    else:
        reports.render_comparison(found, _console())


def _show(found: VersionComparison, json_output: bool) -> None:
    from . import report as reports

    if json_output:
        _print_json(reports.versions_json(found))
    else:
        reports.render_versions(found, _console())


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def _console() -> Any:
    from rich.console import Console

    return Console()


def _progress() -> Any:
    from .report import LiveProgress

    return contextlib.closing(LiveProgress())

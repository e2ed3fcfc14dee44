"""The command `worker`: argv → workflow → print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._options import STORAGE_VARIABLE, Json, RunKeywords
from ._output import live_progress, print_json
from ._results import exit_code_of_search

if TYPE_CHECKING:
    from ..workflows.worker import Worked


def worker(
    run: RunKeywords,
    study: Annotated[
        str, typer.Option("--study", metavar="NAME", help="Name of the study, from advisor tune --study.")
    ],
    storage: Annotated[
        str,
        typer.Option(
            "--storage",
            metavar="URL",
            envvar=STORAGE_VARIABLE,
            show_envvar=False,
            help=f"URL of the database that holds the study. Default: {STORAGE_VARIABLE} in the environment.",
        ),
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]...", help="Arguments of the script, needed only if they hold secrets."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="TIME", help="Time from the first update, in place of the study's."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", metavar="N", min=1, help="End after N trials of this worker.")
    ] = None,
    wait: Annotated[
        str | None, typer.Option("--wait", metavar="TIME", help="Longest time until the study is begun, such as 10m.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Run trials of a study that advisor tune --storage URL --study NAME has begun, until it is over.

    Start it in the folder of the same project, on as many machines as you like. Script, arguments and options of the
    search come from the study. Speeds are compared on like machines only.
    """
    from ..workflows.worker import worker as work

    keywords: dict[str, Any] = {name: value for name, value in run.items() if name != "module"}
    with live_progress() as progress:
        found = work(
            study,
            storage=storage,
            args=args or [],
            budget=budget,
            trials=trials,
            wait=wait,
            progress=progress,
            **keywords,
        )
    if json_output:
        print_json(_as_json(found))
    else:
        typer.echo("\n".join(_lines(found)))
    raise typer.Exit(exit_code_of_search(found.tuned) if found.tuned is not None else 0)


def _lines(found: Worked) -> list[str]:
    lines = [f"study {found.study}: {found.ended or 'ended'}"]
    if found.tuned is None:
        return lines
    if found.tuned.failure is not None:
        lines.append(f"the script failed: {found.tuned.failure.message}")
    lines.append(f"trials: {found.here} here, {found.elsewhere} elsewhere")
    settings = ", ".join(f"{name}={value}" for name, value in found.tuned.settings.items())
    if settings:
        lines.append(
            f"best on machines like this one: {settings} ({found.tuned.speedup:.2f} times as fast, not verified)"
        )
    return [*lines, f"details: advisor report {found.tuned.profile.run_id}"]


def _as_json(found: Worked) -> dict[str, Any]:
    return {
        "version": 1,
        "study": found.study,
        "ended": found.ended,
        "trials_here": found.here,
        "trials_elsewhere": found.elsewhere,
        "settings": found.tuned.settings if found.tuned is not None else {},
        "run": found.tuned.profile.run_id if found.tuned is not None else None,
    }

"""The command `worker`: argv → workflow → print."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
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
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Run workers as tasks of this Ray cluster; auto: the local one."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", min=1, help="With --ray: workers at a time. Default: 1.")
    ] = None,
    devices: Annotated[
        float | None, typer.Option("--devices", metavar="N", min=0.0, help="With --ray: devices of each. Default: 0.")
    ] = None,
    cpus: Annotated[
        float | None, typer.Option("--cpus", metavar="N", min=0.0, help="With --ray: CPUs of each. Default: 1.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Run trials of a study that advisor tune --storage URL --study NAME has begun, until it is over.

    Start it in the folder of the same project, on as many machines as you like. Script, arguments and options of the
    search come from the study. Speeds are compared on like machines only.
    """
    from ..workflows.worker import worker as work

    keywords: dict[str, Any] = {
        "storage": storage,
        "args": args or [],
        "budget": budget,
        "trials": trials,
        "wait": wait,
        **{name: value for name, value in run.items() if name != "module"},
    }
    if ray is not None:
        _on_ray(ray, study, keywords, workers or 1, devices or 0.0, 1.0 if cpus is None else cpus, json_output)
        return
    if (workers, devices, cpus) != (None, None, None):
        raise UsageError("--workers, --devices and --cpus are for the tasks of --ray: name its cluster too")
    with live_progress() as progress:
        found = work(study, progress=progress, **keywords)
    if json_output:
        print_json(_as_json(found))
    else:
        typer.echo("\n".join(_lines(found)))
    raise typer.Exit(exit_code_of_search(found.tuned) if found.tuned is not None else 0)


def _on_ray(
    address: str, study: str, keywords: dict[str, Any], workers: int, devices: float, cpus: float, json_output: bool
) -> None:
    from ..workflows.cluster import keep_working
    from ..workflows.ray_cluster import RayCluster

    # Ray prints what its own processes log when a node is lost, in the middle of JSON too; advisor says it in a line.
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing), live_progress() as progress:
        cluster = RayCluster(address, devices=devices, cpus=cpus, keywords={"study": study, **keywords})
        done = keep_working(cluster, workers, progress=progress)
    if json_output:
        content = {"study": study, "ended": done.ended, "trials_here": done.here, "workers_lost": done.lost}
        print_json({"version": 1, **content, "failures": done.failures})
        return
    typer.echo(f"study {study}: {done.ended or 'ended'}")
    typer.echo(f"trials: {done.here} by {done.workers} workers, of which {done.lost} were lost")


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

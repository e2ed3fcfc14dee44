"""The command `tune`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import AdvisorError, InterruptedByUserError, UsageError
from ._choices import Allowed, ObjectiveName, Preset
from ._options import STORAGE_VARIABLE, Args, Json, RunKeywords, Script
from ._output import live_progress, show
from ._results import exit_code_of_search, show_search
from ._settings import write_settings
from ._tune_by_loss import by_loss, tune_by_loss

if TYPE_CHECKING:
    from ..types import TuneResult
    from ..workflows.tune import Tuned


def tune(
    run: RunKeywords,
    script: Script,
    args: Args = None,
    json_output: Json = False,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="Time from the first update, such as 90s or 10m. Default: as long as a decision takes.",
        ),
    ] = None,
    preset: Annotated[
        Preset, typer.Option("--preset", help="Thoroughness of the search, or domain of the script.")
    ] = Preset.QUICK,
    profile: Annotated[str | None, typer.Option("--profile", metavar="NAME", hidden=True)] = None,
    knobs: Annotated[
        str | None, typer.Option("--knobs", metavar="A,B", help="Try only these knobs, whatever the findings say.")
    ] = None,
    no_knob: Annotated[
        list[str] | None, typer.Option("--no-knob", metavar="KNOB", help="Exclude this knob; may be repeated.")
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KNOB=NAME[:VALUE]",
            help="Option or constant of SCRIPT that sets a knob, such as micro_batch=--rows or micro_batch=ROWS; if "
            "advisor cannot see its value, micro_batch=--rows:32.",
        ),
    ] = None,
    objective: Annotated[
        ObjectiveName, typer.Option("--objective", help="Quantity to improve.")
    ] = ObjectiveName.THROUGHPUT,
    price: Annotated[
        float | None,
        typer.Option("--price", metavar="PER_HOUR", help="Price of the machine per hour, for --objective cost."),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            "--tolerance", metavar="FRACTION", help="Largest loss of speed for --objective memory, such as 5%."
        ),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            "--horizon",
            metavar="UPDATES|TIME",
            help="Updates, or time such as 5m, over which losses are compared; for the objectives time_to_loss and "
            "loss_at_time.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="Number that the script prints or logs, such as val_loss, to judge by in place of its loss; lower is "
            "better.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Settings file that all trainings of these two objectives have."),
    ] = None,
    updates: Annotated[
        int | None,
        typer.Option(
            "--updates",
            metavar="N",
            min=1,
            help="Updates of the whole training, if its options and loops do not say. One-off costs are weighed by it.",
        ),
    ] = None,
    allow: Annotated[
        list[Allowed] | None,
        typer.Option(
            "--allow", metavar="training", help="Also recommend settings that change the training, if they are faster."
        ),
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Skip the verification in fresh processes.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Profile and show which knobs could be tried, without trying them.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Resume a run; finished trials are not repeated.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="URL of a database through which several machines share one search."
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study", metavar="NAME", help="Name under which advisor worker finds this search in the database."
        ),
    ] = None,
    emit: Annotated[
        str | None,
        typer.Option("--emit", metavar="TARGETS", help="Also write files for these tools; see advisor export."),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="File to write the settings to.")
    ] = Path("advisor.yaml"),
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite FILE.")] = False,
) -> None:
    """Search for faster settings of SCRIPT and verify them. Writes advisor.yaml; SCRIPT is not edited."""
    from .. import api
    from ..search import parse_mapped
    from ..settings_file.loaded import check_target

    options = parse_mapped(mapped or ())
    if study is not None:
        storage = storage or os.environ.get(STORAGE_VARIABLE)
    if not dry_run:
        check_target(output, overwrite=force, other="choose another file with --output")
    targets = _targets(emit, None if dry_run else output.parent, force)
    if by_loss(objective, horizon, config, metric):
        others = {
            "preset": preset != Preset.QUICK,
            "set": bool(mapped),
            "price": price is not None,
            "tolerance": tolerance is not None,
            "updates": updates is not None,
            "dry-run": dry_run,
            "storage": storage is not None,
            "study": study is not None,
            "emit": emit is not None,
        }
        tune_by_loss(
            run,
            script,
            args or [],
            objective=objective,
            horizon=horizon,
            budget=budget,
            knobs=_listed(knobs),
            no_knobs=no_knob or (),
            config=config,
            verify=not no_verify,
            metric=metric,
            resume=resume,
            output=output,
            force=force,
            json_output=json_output,
            unused=[name for name, given in others.items() if given],
        )
    try:
        with live_progress() as progress:
            found = api.tune(
                script,
                args or [],
                budget=budget,
                preset=_preset(preset, profile),
                knobs=_listed(knobs),
                no_knobs=no_knob or (),
                mapped=options,
                objective=objective,
                price=price,
                tolerance=tolerance,
                updates=updates,
                allow_training=bool(allow),
                verify=not no_verify,
                dry_run=dry_run,
                resume=resume,
                storage=storage,
                study=study,
                progress=progress,
                **run,
            )
    except InterruptedByUserError as interruption:
        if interruption.found is not None:
            show_search(interruption.found, json_output, None)
        raise
    if dry_run:
        _show_space(found, json_output)
        raise typer.Exit(exit_code_of_search(found))
    _finish(found, output, force, targets, json_output)


def _preset(preset: str, old_name: str | None) -> str:
    """Return the preset, accepting `--profile`, its name in 0.1, which the next release removes."""
    if old_name is None:
        return preset
    typer.echo(f"advisor: --profile is deprecated: use --preset {old_name}", err=True)
    return old_name


def _finish(found: Tuned, output: Path, force: bool, targets: list[str], json_output: bool) -> NoReturn:
    """Show the result, even if a file cannot be written after all."""
    try:
        found = write_settings(found, output, force, targets)
    except AdvisorError:
        show_search(found, json_output, None)
        raise
    show_search(found, json_output, None)
    raise typer.Exit(exit_code_of_search(found))


def _listed(text: str | None) -> list[str] | None:
    """Return the names in `a,b`; None if the option was not given."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError("--knobs names no knob: expected one or more, such as num_workers,precision")
    return found


def _targets(text: str | None, folder: Path | None, force: bool) -> list[str]:
    """Check that the targets are known and can be written in the folder, before anything is measured in vain."""
    from ..settings_file import exports
    from ..settings_file.loaded import check_target
    from .export import split

    names = split(text) if text is not None else []
    for name in names:
        file = exports.get(name).file_name
        if folder is not None:
            check_target(folder / file, overwrite=force)
    return names


def _show_space(found: TuneResult, json_output: bool) -> None:
    from ..report.search import space

    show(found, json_output, space.space_json, space.render_space)

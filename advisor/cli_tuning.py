"""The commands `tune`, `run` and `demo`: argv → api → print."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from .cli_behind import ScriptCommand
from .cli_options import (
    PASS_THROUGH,
    Args,
    ConfigFile,
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
from .cli_output import live_progress, show
from .errors import AdvisorError, ExitCode, InterruptedByUserError, UsageError

if TYPE_CHECKING:
    from .tuning import Tuned
    from .types import TuneResult

DEMO_BUDGET_S = 80.0
DEMO_EPOCHS = 2


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(tune)
    app.command(cls=ScriptCommand, context_settings=PASS_THROUGH)(run)
    app.command()(demo)


def tune(
    script: Script,
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="From the first update: 90s, 10m.")] = "2m",
    profile: Annotated[
        str,
        typer.Option(
            "--profile", metavar="NAME", help="quick, balanced, thorough; vision, language, tabular: by domain."
        ),
    ] = "quick",
    knobs: Annotated[
        str | None, typer.Option("--knobs", metavar="A,B", help="Try these, whatever the findings say; no others.")
    ] = None,
    no_knob: Annotated[
        list[str] | None, typer.Option("--no-knob", metavar="KNOB", help="Leave this one alone; may be repeated.")
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KNOB=FLAG",
            help="SCRIPT's own option for a knob, as in micro_batch=--my-flag; its value as written behind a colon, "
            "where advisor cannot see it.",
        ),
    ] = None,
    objective: Annotated[
        str, typer.Option("--objective", metavar="NAME", help="throughput, memory, energy or cost.")
    ] = "throughput",
    price: Annotated[
        float | None, typer.Option("--price", metavar="PER_HOUR", help="Of the machine; for --objective cost.")
    ] = None,
    tolerance: Annotated[
        str | None, typer.Option("--tolerance", metavar="PART", help="Of the speed, for --objective memory: 5%.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="training", help="Take what changes the training where it is better."),
    ] = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Leave out the proof in fresh processes.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Profile, show what could be tried, try nothing.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run; what it finished is not run again.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option("--storage", metavar="URL", help="A database: several machines share one search.")
    ] = None,
    emit: Annotated[
        str | None, typer.Option("--emit", metavar="TARGETS", help="Files for other tools, too: see advisor export.")
    ] = None,
    output: Annotated[Path, typer.Option("-o", metavar="FILE", help="Where the settings go.")] = Path("advisor.yaml"),
    force: Annotated[bool, typer.Option("-f", help="Overwrite FILE.")] = False,
    start_limit: StartLimit = None,
    no_progress_limit: NoProgressLimit = None,
    memory_limit: MemoryLimit = None,
    trackers: Trackers = False,
) -> None:
    """Search for better settings of SCRIPT, unmodified, and write them to advisor.yaml."""
    from . import api, tuning
    from .search import parse_mapped

    options = parse_mapped(mapped or ())
    if not dry_run:
        tuning.check_target(output, overwrite=force)
    targets = _targets(emit, None if dry_run else output.parent, force)
    try:
        with live_progress() as progress:
            found = api.tune(
                script,
                args or [],
                budget=budget,
                profile=profile,
                knobs=_listed(knobs),
                no_knobs=no_knob or (),
                mapped=options,
                objective=objective,
                price=price,
                tolerance=tolerance,
                allow_training=_training_allowed(allow or []),
                verify=not no_verify,
                dry_run=dry_run,
                resume=resume,
                storage=storage,
                module=module,
                python=python,
                isolation=isolation,
                runs=runs,
                start_limit_s=start_limit,
                no_progress_limit_s=no_progress_limit,
                memory_limit_bytes=in_bytes(memory_limit),
                trackers_offline=not trackers,
                progress=progress,
            )
    except InterruptedByUserError as interruption:
        if interruption.found is not None:
            _show(interruption.found, json_output)
        raise
    if dry_run:
        _show_space(found, json_output)
        raise typer.Exit(_exit_code(found))
    _finish(found, output, force, targets, json_output)


def run(
    script: Script,
    config: ConfigFile,
    args: Args = None,
    module: Module = False,
    python: Python = None,
) -> None:
    """Train with SCRIPT and the settings of FILE: nothing is cut short, exit code and terminal are the script's own."""
    from . import api

    raise typer.Exit(api.run(config, script, args or [], module=module, python=python, replace_process=True))


def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Work there, and leave it.")] = None,
    runs: Runs = None,
) -> None:
    """Profile, tune, verify and train a small script that ships with advisor; offline, in under two minutes."""
    from . import api, tuning

    with _demo_folder(keep) as folder, contextlib.chdir(folder):
        output = tuning.check_target("advisor.yaml", overwrite=False)
        _tell(f"A first training script, as many write it: {folder / 'train.py'}")
        _tell("It reads handwritten digits. advisor runs it, unmodified, in a view that cannot touch your files,")
        _tell("measures where its time goes, tries other settings in the same process, and proves the best of them")
        _tell(f"in fresh processes, in turns with the script as written (about {DEMO_BUDGET_S:.0f} s in all).")
        _tell("")
        with live_progress() as progress:
            found = api.tune("train.py", budget=DEMO_BUDGET_S, runs=runs or folder / "runs", progress=progress)
        found = _written(found, output, force=False)
        _show(found, json_output=False)
        if found.failure is not None:
            raise typer.Exit(_exit_code(found))
        _tell("")
        _tell(f"Now the real training with these settings, for {DEMO_EPOCHS} epochs:")
        _tell(f"$ advisor run --config advisor.yaml train.py --epochs {DEMO_EPOCHS}")
        code = api.run("advisor.yaml", "train.py", ["--epochs", str(DEMO_EPOCHS)])
        _tell("")
        if keep is None:
            _tell("These files stood in a temporary folder that is gone now; --keep DIR leaves them.")
        _tell("The same for your own script: advisor profile, advisor tune, advisor run.")
        raise typer.Exit(code)


@contextlib.contextmanager
def _demo_folder(keep: Path | None) -> Iterator[Path]:
    """A folder with the script in it; gone afterwards unless it is to be kept."""
    source = Path(__file__).resolve().parent / "demo" / "train.py"
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, keep / "train.py")
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="advisor-demo-") as folder:
        shutil.copyfile(source, Path(folder) / "train.py")
        yield Path(folder).resolve()


def _finish(found: Tuned, output: Path, force: bool, targets: list[str], json_output: bool) -> NoReturn:
    """What was found is shown, also where a file cannot be written after all."""
    try:
        found = _written(found, output, force, targets)
    except AdvisorError:
        _show(found, json_output)
        raise
    _show(found, json_output)
    raise typer.Exit(_exit_code(found))


def _written(found: Tuned, output: Path, force: bool, targets: Sequence[str] = ()) -> Tuned:
    """The files, and their names kept with the run; none where nothing could be measured."""
    from . import configuration, emit
    from .tuning import keep

    if found.failure is not None:
        return found
    found.config.save(output, overwrite=force)
    files = [str(output)]
    if targets:
        artifacts = emit.artifacts(configuration.read_document(output), targets)
        files += map(str, configuration.write_artifacts(artifacts, output.parent, overwrite=force))
    found = replace(found, files=tuple(files))
    keep(found)
    return found


def _listed(text: str | None) -> list[str] | None:
    """The names of `a,b`; None where nothing was said."""
    if text is None:
        return None
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UsageError("--knobs names no knob: give one or more, such as num_workers,precision")
    return found


def _training_allowed(allowed: Sequence[str]) -> bool:
    for word in allowed:
        if word != "training":
            raise UsageError(f"--allow {word}: there is only `training` to allow")
    return bool(allowed)


def _targets(text: str | None, folder: Path | None, force: bool) -> list[str]:
    """Known, and free to be written in the folder, before anything is measured for nothing."""
    from . import configuration, emit
    from .cli_exporting import split

    names = split(text) if text is not None else []
    for name in names:
        file = emit.get(name).file_name
        if folder is not None:
            configuration.check_target(folder / file, overwrite=force)
    return names


def _show_space(found: TuneResult, json_output: bool) -> None:
    from . import report as reports

    show(found, json_output, reports.space_json, reports.render_space)


def _show(found: TuneResult, json_output: bool) -> None:
    from . import report as reports

    show(found, json_output, reports.tune_json, reports.render_tune)


def _exit_code(found: TuneResult) -> int:
    if found.failure is None:
        return ExitCode.OK
    return ExitCode.NOTHING_MEASURED if found.failure.kind == "no_steps" else ExitCode.SCRIPT_FAILED


def _tell(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()

"""The commands `tune`, `run` and `demo`: argv → api → print."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_options import PASS_THROUGH, Args, Isolation, Json, Module, Python, Runs, Script
from .errors import ExitCode

if TYPE_CHECKING:
    from .tuning import Tuned
    from .types import TuneResult

DEMO_BUDGET_S = 30.0
DEMO_EPOCHS = 2


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command(context_settings=PASS_THROUGH)(tune)
    app.command(context_settings=PASS_THROUGH)(run)
    app.command()(demo)


def tune(
    script: Script,
    args: Args = None,
    module: Module = False,
    python: Python = None,
    isolation: Isolation = "auto",
    runs: Runs = None,
    json_output: Json = False,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="From the first update: 90s, 10m.")] = "60s",
    profile: Annotated[str, typer.Option("--profile", metavar="NAME", help="How thorough: quick.")] = "quick",
    output: Annotated[Path, typer.Option("-o", metavar="FILE", help="Where the settings go.")] = Path("advisor.yaml"),
    force: Annotated[bool, typer.Option("-f", help="Overwrite FILE.")] = False,
    trackers: Annotated[bool, typer.Option("--trackers", help="Leave experiment trackers online.")] = False,
) -> None:
    """Search for faster settings of SCRIPT, unmodified, and write them to advisor.yaml."""
    from . import api, tuning

    tuning.check_target(output, overwrite=force)
    with _progress() as progress:
        found = api.tune(
            script,
            args or [],
            budget=budget,
            profile=profile,
            module=module,
            python=python,
            isolation=isolation,
            runs=runs,
            trackers_offline=not trackers,
            progress=progress,
        )
    found = _written(found, output, force)
    _show(found, json_output)
    raise typer.Exit(_exit_code(found))


def run(
    script: Script,
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="Settings, as advisor tune writes them.")],
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
    """Profile, tune and train a small script that ships with advisor; offline, in about a minute."""
    from . import api, tuning

    with _demo_folder(keep) as folder, contextlib.chdir(folder):
        output = tuning.check_target("advisor.yaml", overwrite=False)
        _tell(f"A first training script, as many write it: {folder / 'train.py'}")
        _tell("It reads handwritten digits. advisor runs it, unmodified, in a view that cannot touch your files,")
        _tell(
            f"measures where its time goes, and tries other settings in the same process (about {DEMO_BUDGET_S:.0f} s)."
        )
        _tell("")
        with _progress() as progress:
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


def _written(found: Tuned, output: Path, force: bool) -> Tuned:
    """The file, and its name kept with the run; none where nothing could be measured."""
    from .tuning import keep

    if found.failure is not None:
        return found
    found.config.save(output, overwrite=force)
    found = replace(found, files=(str(output),))
    keep(found)
    return found


def _show(found: TuneResult, json_output: bool) -> None:
    from . import report as reports

    if json_output:
        typer.echo(json.dumps(reports.tune_json(found), indent=2, allow_nan=False))
        return
    from rich.console import Console

    reports.render_tune(found, Console())


def _exit_code(found: TuneResult) -> int:
    if found.failure is None:
        return ExitCode.OK
    return ExitCode.NOTHING_MEASURED if found.failure.kind == "no_steps" else ExitCode.SCRIPT_FAILED


def _tell(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    from .report import LiveProgress

    with contextlib.closing(LiveProgress()) as progress:
        yield progress

"""The command `demo`."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ._options import Runs
from ._output import live_progress
from ._results import exit_code_of_search, show_search
from ._settings import write_settings

DEMO_BUDGET_S = 80.0
DEMO_EPOCHS = 2


def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Work in this folder and keep it.")] = None,
    runs: Runs = None,
) -> None:
    """Profile, tune, verify and run an example script. Takes about two minutes and needs no network."""
    from .. import api
    from ..settings_file.loaded import check_target

    with _demo_folder(keep) as folder, contextlib.chdir(folder):
        output = check_target("advisor.yaml", overwrite=False)
        _show(f"A typical training script: {folder / 'train.py'}")
        _show("It learns to read handwritten digits. advisor runs it unmodified, isolated from your files.")
        _show("It measures where the time goes and tries other settings in the same process. Then it verifies the")
        _show(f"best of them against the unmodified script in fresh processes (about {DEMO_BUDGET_S:.0f} s in all).")
        _show("")
        with live_progress() as progress:
            found = api.tune("train.py", budget=DEMO_BUDGET_S, runs=runs or folder / "runs", progress=progress)
        found = write_settings(found, output, force=False)
        show_search(found, False, None)
        if found.failure is not None:
            raise typer.Exit(exit_code_of_search(found))
        _show("")
        _show(f"Now the full training with these settings, for {DEMO_EPOCHS} epochs:")
        _show(f"$ advisor run --config advisor.yaml train.py --epochs {DEMO_EPOCHS}")
        code = api.run("advisor.yaml", "train.py", ["--epochs", str(DEMO_EPOCHS)])
        _show("")
        if keep is None:
            _show("The temporary folder has been removed; --keep DIR keeps it.")
        _show("For your own script: advisor profile, advisor tune, advisor run.")
        raise typer.Exit(code)


@contextlib.contextmanager
def _demo_folder(keep: Path | None) -> Iterator[Path]:
    """Create a folder with the script in it, and remove it afterwards unless it is to be kept."""
    source = Path(__file__).resolve().parents[1] / "demo" / "train.py"
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, keep / "train.py")
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="advisor-demo-") as folder:
        shutil.copyfile(source, Path(folder) / "train.py")
        yield Path(folder).resolve()


def _show(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()

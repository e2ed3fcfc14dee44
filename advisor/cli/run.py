"""The command `run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..progress import SilentProgress
from ._options import Args, Module, Python, Script
from ._output import typed_redactor
from ._settings import parse_settings


class _OneLine(SilentProgress):
    """Progress of a command whose output is the script's own: notes only, on stderr."""

    def note(self, text: str) -> None:
        typer.echo(f"advisor: {typed_redactor().text(text)}", err=True)


def run(
    script: Script,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings file written by advisor tune.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KNOB=VALUE",
            help="Setting besides those of FILE, such as learning_rate=0.01; may be repeated.",
        ),
    ] = None,
    updates: Annotated[
        float | None,
        typer.Option("--updates", metavar="N", min=1, help="Updates of the whole training, which lr_schedule needs."),
    ] = None,
    args: Args = None,
    module: Module = False,
    python: Python = None,
) -> None:
    """Train with SCRIPT and the settings of FILE, or of --set.

    Output and exit code are those of the script; a line on stderr lists the settings.
    """
    from .. import api

    code = api.run(
        config,
        script,
        args or [],
        settings=parse_settings(settings or ()),
        updates=updates,
        module=module,
        python=python,
        replace_process=True,
        progress=_OneLine(),
    )
    raise typer.Exit(code)

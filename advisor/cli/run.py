"""The command `run`."""

from __future__ import annotations

import typer

from ..progress import SilentProgress
from ._options import Args, ConfigFile, Module, Python, Script
from ._output import typed_redactor


class _OneLine(SilentProgress):
    """Progress of a command whose output is the script's own: notes only, on stderr."""

    def note(self, text: str) -> None:
        typer.echo(f"advisor: {typed_redactor().text(text)}", err=True)


def run(
    script: Script,
    config: ConfigFile,
    args: Args = None,
    module: Module = False,
    python: Python = None,
) -> None:
    """Train with SCRIPT and the settings of FILE.

    Output and exit code are those of the script; a line on stderr lists the settings.
    """
    from .. import api

    code = api.run(config, script, args or [], module=module, python=python, replace_process=True, progress=_OneLine())
    raise typer.Exit(code)

"""The command `run`."""

from __future__ import annotations

import typer

from ._options import Args, ConfigFile, Module, Python, Script


def run(
    script: Script,
    config: ConfigFile,
    args: Args = None,
    module: Module = False,
    python: Python = None,
) -> None:
    """Train with SCRIPT and the settings of FILE. Output and exit code are those of the script."""
    from .. import api

    raise typer.Exit(api.run(config, script, args or [], module=module, python=python, replace_process=True))

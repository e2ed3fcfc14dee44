"""The command `hardware`."""

from __future__ import annotations

from typing import Annotated

import typer

from ._options import Json, Python
from ._output import show


def hardware(
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Measure peak arithmetic and bandwidth (about 15 s).")
    ] = False,
    python: Python = None,
    json_output: Json = False,
) -> None:
    """Show hardware, resource limits and misconfigurations."""
    from .. import api
    from .. import hardware as machines

    found = api.hardware(calibrate=calibrate, python=python)
    show(found, json_output, machines.as_json, machines.render)

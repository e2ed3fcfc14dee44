"""Options shared by several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PASS_THROUGH = {"allow_interspersed_args": False, "ignore_unknown_options": True}
"""Context settings that pass all words after the script to the script, even if they look like options."""

Script = Annotated[str, typer.Argument(metavar="SCRIPT", help="The training script (with -m: the module).")]
Args = Annotated[list[str] | None, typer.Argument(metavar="[ARGS]...", help="The script's own, untouched.")]
Module = Annotated[bool, typer.Option("-m", "--module", help="SCRIPT is a module's name, as in `python -m`.")]
Python = Annotated[str | None, typer.Option("--python", metavar="PATH", help="Interpreter of the script; needs torch.")]
Isolation = Annotated[
    str, typer.Option("--isolation", metavar="TIER", help="auto, overlay, landlock; copy or none: unprotected.")
]
Runs = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="Where runs are kept.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StartLimit = Annotated[
    float | None, typer.Option("--start-limit", metavar="SECONDS", help="Until the first update.", min=1.0)
]
NoProgressLimit = Annotated[
    float | None, typer.Option("--no-progress-limit", metavar="SECONDS", help="Until it counts as hung.", min=1.0)
]
MemoryLimit = Annotated[
    float | None, typer.Option("--memory-limit", metavar="GIB", help="Of all the script's processes.", min=0.01)
]
Trackers = Annotated[bool, typer.Option("--trackers", help="Leave experiment trackers online.")]
Rounds = Annotated[int, typer.Option("--rounds", metavar="N", help="Pairs of processes at most.")]
RoundsBudget = Annotated[str, typer.Option("--budget", metavar="TIME", help="For all rounds: 90s, 10m.")]
ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="Settings, as advisor tune writes them.")]


def in_bytes(gib: float | None) -> int | None:
    """Convert the value of a `MemoryLimit` to bytes."""
    return None if gib is None else int(gib * 2**30)

"""Isolation of the user's files while a command runs their script, and warnings about what it cannot undo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..types import Command
from . import isolation as isolations
from . import network_clients
from .isolation import Isolation, scratch
from .run_options import RunOptions


def protect(command: Command, options: RunOptions) -> Isolation:
    """Return the isolation tier for a script that is run in one version; see `protect_all`."""
    return protect_all([command], options)[0]


def protect_all(commands: Sequence[Command], options: RunOptions) -> list[Isolation]:
    """Choose a tier of isolation for each version of a script, before any of them is started.

    Every command passes through here, so that each warns once, and in time, about what no tier undoes. Raises what
    `isolation.choose` raises.
    """
    scratch.sweep(options.root / "scratch")  # advisor 0.2 kept them there for all users
    chosen = [
        isolations.choose(options.isolation, project=Path(command.cwd), scratch=options.scratch) for command in commands
    ]
    network_clients.warn(commands, options.progress)
    return chosen

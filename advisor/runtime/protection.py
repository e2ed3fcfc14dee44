"""Isolation of the user's files while a command runs their script, and warnings about what it cannot undo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..progress import Progress
from ..types import Command
from . import isolation as isolations
from . import network_clients
from .isolation import Tier


def protect(command: Command, isolation: str, *, root: Path, progress: Progress) -> Tier:
    """Return the isolation tier for a script that is run in one version; see `protect_all`."""
    return protect_all([command], isolation, root=root, progress=progress)[0]


def protect_all(commands: Sequence[Command], isolation: str, *, root: Path, progress: Progress) -> list[Tier]:
    """Choose a tier of isolation for each version of a script, before any of them is started.

    Every command passes through here, so that each warns once, and in time, about what no tier undoes. `root` is the
    folder of the runs. Raises what `isolation.choose` raises.
    """
    scratch = root / "scratch"
    tiers = [isolations.choose(isolation, project=Path(command.cwd), scratch=scratch) for command in commands]
    network_clients.tell(commands, progress)
    return tiers

"""What keeps the user's files as they are while a command runs their script, and what nothing keeps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..progress import Progress
from ..types import Command
from . import elsewhere
from . import isolation as isolations
from .isolation import Tier


def protect(command: Command, isolation: str, *, root: Path, progress: Progress) -> Tier:
    """The tier for the only form of a script that is run; see `protect_all`."""
    return protect_all([command], isolation, root=root, progress=progress)[0]


def protect_all(commands: Sequence[Command], isolation: str, *, root: Path, progress: Progress) -> list[Tier]:
    """A tier of isolation for each form of a script, before any of them is started.

    Every command comes through here, so that what no tier undoes is said by all of them, once and in time. `root` is
    the folder of the runs. Raises what `isolation.choose` raises.
    """
    scratch = root / "scratch"
    tiers = [isolations.choose(isolation, project=Path(command.cwd), scratch=scratch) for command in commands]
    elsewhere.tell(commands, progress)
    return tiers

"""How the user starts the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Command:
    """One training command; nothing in it is advisor's own."""

    target: str
    """Path of the script as it was typed, or the module's name."""
    is_module: bool
    args: tuple[str, ...]
    """What the script finds behind `sys.argv[0]`, untouched."""
    cwd: str
    interpreter: str
    launcher: Literal["python", "torchrun", "accelerate"] = "python"

    @property
    def display(self) -> str:
        """The command as a person would type it."""
        import shlex

        return shlex.join((*(("-m",) if self.is_module else ()), self.target, *self.args))

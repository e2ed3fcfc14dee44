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
    function: str = ""
    """What a function that trains is called, such as "train() of train_digits.py"; empty for a script. `target` is then
    the script that advisor wrote to call it."""
    source: str = ""
    """The file that holds the function, where there is one."""

    @property
    def title(self) -> str:
        """The training's name, without its arguments."""
        return self.function or self.target

    @property
    def typed(self) -> str:
        """With the program that starts it."""
        return self.function or f"{self.launcher} {self.display}"

    @property
    def display(self) -> str:
        """The command as a person would type it."""
        import shlex

        if self.function:
            return self.function
        return shlex.join((*(("-m",) if self.is_module else ()), self.target, *self.args))

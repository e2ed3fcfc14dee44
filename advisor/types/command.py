"""The user's command that starts the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Command:
    """One training command, without anything added by advisor."""

    target: str
    """Path of the script as typed, or the module's name."""
    is_module: bool
    args: tuple[str, ...]
    """Arguments that the script finds after `sys.argv[0]`, untouched."""
    cwd: str
    interpreter: str
    launcher: Literal["python", "torchrun", "accelerate"] = "python"
    """Program that starts it: an interpreter, or a launcher that starts one for every rank."""
    launcher_args: tuple[str, ...] = ()
    """The launcher's own options, as typed; for accelerate without the word `launch`."""
    function: str = ""
    """Title of a training function, such as "train() of train_digits.py"; empty for a script. `target` is then the
    script that advisor wrote to call it."""
    source: str = ""
    """File that holds the function, if there is one."""

    @property
    def title(self) -> str:
        """Return the training's name, without its arguments."""
        return self.function or self.target

    @property
    def typed(self) -> str:
        """Return the command with the program that starts it."""
        return self.function or (self.display if self.is_launched else f"{self.launcher} {self.display}")

    @property
    def is_launched(self) -> bool:
        """Return whether a launcher starts the script, on one rank or several."""
        return self.launcher != "python"

    @property
    def display(self) -> str:
        """Return the command as a person would type it."""
        import shlex

        if self.function:
            return self.function
        script = shlex.join((*(("-m",) if self.is_module else ()), self.target, *self.args))
        return f"{self.launcher_words} {script}" if self.is_launched else script

    @property
    def launcher_words(self) -> str:
        """Return the launcher with its options as a person would type it; "" without one."""
        import shlex

        words = {"python": (), "torchrun": ("torchrun",), "accelerate": ("accelerate", "launch")}[self.launcher]
        return shlex.join((*words, *self.launcher_args))

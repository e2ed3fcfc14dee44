"""Words that start a script, with its launcher if it has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..types import Command

LAUNCHER = Path(__file__).resolve().parent.parent / "agent" / "launcher.py"
MODULES = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.launch"}


def launch_line(command: Command, words: Sequence[str], *, report: Path | None = None) -> list[str]:
    """Return the words that run a Python script and its arguments as the command does.

    A launcher writes what it knows of a rank's death to `report`. Without one this is a real training, and the last
    word a file that the launcher deletes at the end.
    """
    if not command.is_launched:
        return [command.interpreter, *words]
    options = list(command.launcher_args)
    if report is not None and command.launcher == "torchrun":
        options.append("--max-restarts=0")  # a rank that fails fails again, and its first error is what counts
    said = "" if report is None else str(report)
    return [command.interpreter, str(LAUNCHER), command.launcher, said, *options, *words]


def plain_line(command: Command) -> list[str]:
    """Return the words that run the script without advisor."""
    script = [*(["-m"] if command.is_module else []), command.target, *command.args]
    if not command.is_launched:
        return [command.interpreter, *script]
    return [command.interpreter, "-m", MODULES[command.launcher], *command.launcher_args, *script]

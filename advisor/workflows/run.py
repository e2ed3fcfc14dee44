"""Training with settings, in the script's own process, with nothing between it and the terminal."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from ..errors import SettingsWarning
from ..settings_file.loaded import no_longer_holds, read_document


def run(
    config: str | os.PathLike[str],
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    module: bool = False,
    python: str | None = None,
    replace_process: bool = False,
) -> int:
    """Run the real training with the settings of an `advisor.yaml`; terminal, files and exit code are the script's own.

    Returns the script's exit code (128 + signal if one ended it). With `replace_process` this process becomes the
    script's, and the call does not return. Raises UsageError if the script cannot be started. Warns (`SettingsWarning`)
    if the settings were found on other hardware or with another torch.
    """
    from ..runtime import training_launch
    from ..target import command as commands
    from ..target.option_roles import constants_by_module

    document = read_document(Path(config))
    typed = commands.build(os.fspath(script), args, is_module=module, interpreter=python)
    wanted = commands.with_arguments(typed, document.arguments)
    constants = constants_by_module(document.constants, typed)
    found = no_longer_holds(document, python=wanted.interpreter)
    if found:
        warnings.warn(f"{config}: {'; '.join(found)}", SettingsWarning, stacklevel=2)
    if replace_process:
        training_launch.become(wanted, document.config, constants)
    return training_launch.spawn(wanted, document.config, constants)

"""Training with settings, in the script's own process, with nothing between it and the terminal."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SettingsWarning, UsageError
from ..number_range import check_positive
from ..progress import SILENT, Progress
from ..settings_file.loaded import no_longer_holds, read_document
from ..spelling import parameter
from ..types import Config, SettingValue

if TYPE_CHECKING:
    from ..settings_file.exports import Document


def run(
    config: str | os.PathLike[str] | None,
    script: str | os.PathLike[str],
    args: Sequence[str] = (),
    *,
    settings: Mapping[str, SettingValue] | None = None,
    updates: float | None = None,
    module: bool = False,
    python: str | None = None,
    replace_process: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Run the real training with the settings of an `advisor.yaml`; terminal, files and exit code are the script's own.

    `settings` (knob → value) are added to those of the file, or replace them; `config` may then be None. `updates` is
    the length of the training, which schedules of the learning rate need, if the file does not say it.

    Returns the script's exit code (128 + signal if one ended it). With `replace_process` this process becomes the
    script's, and the call does not return. A note to `progress` lists the settings before the script starts.

    Raises UsageError if the script cannot be started, and if it no longer has a constant that the file sets. Warns
    (`SettingsWarning`) if the settings were found on other hardware or with another torch.
    """
    from ..runtime import training_launch
    from ..target import command as commands
    from ..target.option_roles import constants_by_module

    document = _document(config, settings or {}, updates)
    typed = commands.build(os.fspath(script), args, is_module=module, interpreter=python)
    wanted = commands.with_arguments(typed, document.arguments)
    constants = constants_by_module(document.constants, typed)
    found = no_longer_holds(document, python=wanted.interpreter) if config is not None else []
    if found:
        warnings.warn(f"{config}: {'; '.join(found)}", SettingsWarning, stacklevel=2)
    progress.note(_announced(document, config))
    if replace_process:
        training_launch.become(wanted, document.config, constants, document.updates)
    return training_launch.spawn(wanted, document.config, constants, document.updates)


def _document(
    config: str | os.PathLike[str] | None, settings: Mapping[str, SettingValue], updates: float | None
) -> Document:
    """Return the file's content with what was given beside it. Raises UsageError for a setting no knob can have."""
    from ..settings_file import advisor_yaml

    check_positive(updates=updates)
    if config is None and not settings:
        raise UsageError(f"nothing to run with: give {parameter('config')} or {parameter('settings')}")
    document = read_document(Path(config)) if config is not None else advisor_yaml.Document(config=Config())
    given = Config.of({**document.config.as_dict(), **settings})
    advisor_yaml.check(given, "the settings cannot be used")
    return replace(document, config=given, updates=updates or document.updates)


def _announced(document: Document, path: str | os.PathLike[str] | None) -> str:
    """Describe in one line what the script is run with."""
    kinds: dict[str, Mapping[str, object]] = {
        "settings": document.config.as_dict(),
        "arguments": document.arguments,
        "constants": document.constants,
    }
    parts = [
        f"{kind} {', '.join(f'{name}={value}' for name, value in values.items())}"
        for kind, values in kinds.items()
        if values
    ]
    said = "; ".join(parts) or "no settings, the script runs unmodified"
    return said if path is None else f"{Path(path)}: {said}"

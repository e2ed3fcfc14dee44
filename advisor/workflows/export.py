"""Export settings to other tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..settings_file.exports import artifacts
from ..settings_file.loaded import read_document, write_artifacts


def export(
    config: str | os.PathLike[str],
    to: str | Sequence[str],
    *,
    folder: str | os.PathLike[str] = ".",
    overwrite: bool = False,
) -> list[Path]:
    """Write the settings of an `advisor.yaml` into the files of other tools, and return their paths.

    `to` names one target or several: accelerate, deepspeed, lightning, python, torchrun, transformers. Raises
    UsageError for an unknown target, and for a file that already exists unless `overwrite` is set.
    """
    targets = [to] if isinstance(to, str) else list(to)
    made = artifacts(read_document(Path(config)), targets)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return write_artifacts(made, Path(folder), overwrite=overwrite)

"""Export settings to other tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..settings_file.exports import artifacts
from ..settings_file.loaded import read_document, write_artifacts
from ..types import Artifact


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
    return [file for _artifact, file in export_to(Path(config), targets, Path(folder), overwrite=overwrite)]


def export_to(
    config: Path, targets: Sequence[str], folder: Path, *, overwrite: bool = False
) -> list[tuple[Artifact, Path]]:
    """Write one file a target into the folder, which is made if missing; return each artifact with its path."""
    made = artifacts(read_document(config), targets)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create {folder}: {error.strerror}; choose another folder") from error
    return list(zip(made, write_artifacts(made, folder, overwrite=overwrite), strict=True))

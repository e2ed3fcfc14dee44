"""Export settings, of a file or of a stored run, to other tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..settings_file.exports import artifacts
from ..settings_file.loaded import read_document, write_artifacts
from ..types import Artifact, Profile, RangeTest, TuneResult

if TYPE_CHECKING:
    from ..settings_file.exports import Document

OWN_FORMAT = "advisor"


def export(
    config: str | os.PathLike[str],
    to: str | Sequence[str] = (),
    *,
    folder: str | os.PathLike[str] = ".",
    overwrite: bool = False,
    runs: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Write settings into the files of other tools, and return their paths.

    `config` is the path of an `advisor.yaml`, or a stored search: `latest`, its id or its folder. `to` names one target
    or several: accelerate, advisor, deepspeed, lightning, patch, python, slurm, torchrun, transformers. By default a
    stored search is written as `advisor.yaml`. `patch` changes the script's constants in its source.

    Raises UsageError for an unknown target, for a run without settings, and for a file that already exists unless
    `overwrite` is set.
    """
    targets = [to] if isinstance(to, str) else list(to)
    written = export_to(os.fspath(config), targets, Path(folder), overwrite=overwrite, runs=runs)
    return [file for _artifact, file in written]


def export_to(
    source: str,
    targets: Sequence[str],
    folder: Path,
    *,
    overwrite: bool = False,
    runs: str | os.PathLike[str] | None = None,
    skip_empty: bool = False,
) -> list[tuple[Artifact, Path]]:
    """Write one file a target into the folder, which is made if missing; return each artifact with its path.

    With `skip_empty`, files that would hold none of the settings are left out.
    """
    is_file = Path(source).is_file() or source.endswith((".yaml", ".yml"))
    if is_file and not targets:
        raise UsageError("no target is named: expected one or more, such as accelerate,torchrun")
    document = read_document(Path(source)) if is_file else _of_run(source, runs)
    made = artifacts(document, targets or [OWN_FORMAT])
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot create {folder}: {error.strerror}; choose another folder") from error
    kept = [artifact for artifact in made if not (skip_empty and artifact.is_empty)]
    return list(zip(kept, write_artifacts(kept, folder, overwrite=overwrite), strict=True))


def _of_run(name: str, runs: str | os.PathLike[str] | None) -> Document:
    """Return the settings of a stored search; raise UsageError for a profile, and for a search that failed."""
    from ..settings_file import advisor_yaml
    from ..settings_file.loaded import as_yaml, learned_yaml
    from ..storage import run_store
    from .stored import load_run

    if name == "latest":
        name = str(run_store.latest_search(run_store.runs_root(Path(runs) if runs is not None else None)).path)
    found = load_run(name, runs=runs)
    if isinstance(found, Profile):
        raise UsageError(f"the run {found.run_id} is a profile, which has no settings: find some with advisor tune")
    if isinstance(found, RangeTest):
        rate = "nothing" if found.suggestion is None else f"advisor run --set learning_rate={found.suggestion.rate:.3g}"
        raise UsageError(f"the run {name} is a range test, which has no settings file: it suggests {rate}")
    if found.failure is not None:
        raise UsageError(f"the run {found.profile.run_id} has no settings: {found.failure.message}")
    text = as_yaml(found) if isinstance(found, TuneResult) else learned_yaml(found)
    return advisor_yaml.parse(text, Path(found.run_folder))

"""Settings of a search, written to advisor.yaml and to the files of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..workflows.tune import Tuned


def write_settings(found: Tuned, output: Path, force: bool, targets: Sequence[str] = ()) -> Tuned:
    """Write the files and keep their names with the run; write none if nothing could be measured."""
    from ..settings_file import exports as emit
    from ..settings_file import loaded
    from ..workflows.tune import keep

    if found.failure is not None:
        return found
    found.config.save(output, overwrite=force)
    files = [str(output)]
    if targets:
        artifacts = emit.artifacts(loaded.read_document(output), targets)
        files += map(str, loaded.write_artifacts(artifacts, output.parent, overwrite=force))
    found = replace(found, files=tuple(files))
    keep(found)
    return found

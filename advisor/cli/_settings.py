"""Settings of a search, written to advisor.yaml and to the files of other tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..workflows.tune import Tuned
    from ..workflows.tune_learning import Learned


def write_learned(found: Learned, output: Path, force: bool) -> Learned:
    """Write advisor.yaml and keep its name with the run; write none if nothing could be measured."""
    from ..workflows.tune_learning import keep

    if found.failure is not None:
        return found
    found.config.save(output, overwrite=force)
    found = replace(found, files=(str(output),))
    keep(found)
    return found


def write_settings(found: Tuned, output: Path, force: bool, targets: Sequence[str] = ()) -> Tuned:
    """Write the files and keep their names with the run; write none if nothing could be measured."""
    from ..workflows.export import export_to
    from ..workflows.tune import keep

    if found.failure is not None:
        return found
    found.config.save(output, overwrite=force)
    exported = export_to(str(output), targets, output.parent, overwrite=force, skip_empty=True) if targets else []
    found = replace(found, files=(str(output), *(str(file) for _artifact, file in exported)))
    keep(found)
    return found

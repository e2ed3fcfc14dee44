"""Settings of a search, written to advisor.yaml and to the files of other tools."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..spelling import parameter

if TYPE_CHECKING:
    from ..types import SettingValue
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


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def parse_settings(words: Iterable[str]) -> dict[str, SettingValue]:
    """Parse `--set KNOB=VALUE` into KNOB → value: a number, true or false, or a text. Raises UsageError."""
    found: dict[str, SettingValue] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or not text:
            raise UsageError(f"invalid {parameter('settings', word)}: expected KNOB=VALUE, such as learning_rate=0.01")
        if name in found:
            raise UsageError(f"invalid {parameter('settings', word)}: {name} is given twice")
        found[name] = _value_of(text)
    return found


def _value_of(text: str) -> SettingValue:
    if text in ("true", "false"):
        return text == "true"
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


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

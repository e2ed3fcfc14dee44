"""Output of `--json`: stable and versioned, so that other programs can rely on it.

Names and units are those of the values. Values that were not measured or that JSON cannot express are null.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..types import Command, Finding

RATIO = ("speedup", "low", "high")
FAILURE = ("kind", "message", "stderr_tail")
_FINDING = ("rule", "severity", "share", "ceiling", "fix", "evidence", "where", "knobs", "advice")
FIX = ("knob", "value", "effect", *RATIO, "rounds")


def json_safe(value: Any) -> Any:
    """Return plain JSON values: NaN and infinities become null, tuples lists, and text outside UTF-8 is escaped."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {json_safe(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [json_safe(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json_safe(_fields(value))
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def chosen(value: object, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return these attributes of a value; None for None."""
    return None if value is None else {name: getattr(value, name) for name in names}


def command_json(command: Command) -> dict[str, Any]:
    """Return the command's fields, with the words as typed."""
    return {**_fields(command), "display": command.display}


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as every command prints it."""
    return {**{name: getattr(finding, name) for name in _FINDING}, "fix": chosen(finding.fix, FIX)}

"""Values of a settings file about the script itself: its options, its constants, the length of its training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..number_range import in_range, out_of_range
from ..script_constants import Plain

MOST_ARGUMENTS = 20
LONGEST_TEXT = 200
LONGEST_WORD = 80
FLAG = re.compile(r"-{0,2}[A-Za-z][A-Za-z0-9_.-]*")
"""Option with two hyphens, one, or none (`batch_size=64`)."""
CONSTANT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
"""Constant of the script (`BATCH_SIZE`), of a module or a class (`config.BATCH_SIZE`)."""
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def read_arguments(path: Path, found: Any) -> dict[str, int | float | str]:
    """Read arguments, numbers and single words only: no search finds a path or words for a shell."""
    arguments = _few(path, "arguments", found)
    for flag, value in arguments.items():
        if len(flag) > LONGEST_WORD or not FLAG.fullmatch(flag):
            raise UsageError(f"{path}: {brief(flag)} is not an option such as --batch-size")
        _check_word(path, flag, value)
        if isinstance(value, bool):
            raise UsageError(f"{path}: {flag} holds a bool: expected a number or one word")
    return arguments


def read_constants(path: Path, found: Any) -> dict[str, Plain]:
    """Read constants: their values become literals in the script, so that a path or a sentence has no place here."""
    constants = _few(path, "constants", found)
    for name, value in constants.items():
        if len(name) > LONGEST_TEXT or not CONSTANT.fullmatch(name):
            raise UsageError(f"{path}: {brief(name)} is not the name of a constant such as BATCH_SIZE")
        _check_word(path, name, value)
    return constants


def read_updates(path: Path, found: Any) -> float | None:
    """Read the length of the training, which the script may take by its options or not at all."""
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not in_range(found) or found < 1:
        raise UsageError(f"{path}: updates is {brief(found)}: expected the number of updates of the training")
    return float(found)


def _few(path: Path, name: str, found: Any) -> dict[str, Any]:
    """Return the entry `name` of the file as a mapping; raise UsageError if it is none, or has too many values."""
    values = mapping(path, name, found)
    if len(values) > MOST_ARGUMENTS:
        raise UsageError(f"{path} has {len(values)} {name}: expected at most {MOST_ARGUMENTS}")
    return values


def _check_word(path: Path, name: str, value: Any) -> None:
    """Raise UsageError for a value that is neither a finite number nor a truth value nor one word."""
    if isinstance(value, int | float) and not in_range(value):
        raise UsageError(f"{path}: {name} is {out_of_range(value)}: expected a finite number or one word")
    if not isinstance(value, int | float) and not (
        isinstance(value, str) and len(value) <= LONGEST_WORD and WORD.fullmatch(value)
    ):
        raise UsageError(f"{path}: {name} holds {kind(value)}: expected a number or one word")


def mapping(path: Path, name: str, value: Any) -> dict[str, Any]:
    """Return the entry `name` of the file as a mapping; raise UsageError if it is none."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{path}: {name} holds {kind(value)}: expected names and values")
    return value


def kind(value: Any) -> str:
    """Describe the kind of a value for a person."""
    names = {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}
    return names.get(type(value), f"a {type(value).__name__}")


def brief(value: Any) -> str:
    """Return the value as Python writes it, on one line and not longer than a message can be."""
    text = repr(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"

"""Results without secrets, and the one file that keeps the command as typed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..redaction import HIDDEN, Redactor
from ..types import Command, Profile, RangeTest, VerifyResult, VersionComparison

Found = TypeVar("Found", bound=Profile | RangeTest | VerifyResult | VersionComparison)

COMMAND_FILE = "command.json"
"""File in a run's folder with the command as typed, if it holds secrets; only its owner can read it."""


def without_secrets(found: Found, command: Command, folder: Path) -> Found:
    """Return the result without what looks like a secret, with a note that says where the command as typed is kept."""
    from ..storage import safe_files

    redactor = Redactor.of_words(command.args, os.environ)
    if redactor.of(command) is command:
        return redactor.of(found)
    path = folder / COMMAND_FILE
    words = [*(("-m",) if command.is_module else ()), command.target, *command.args]
    safe_files.write_atomic(path, json.dumps(words, indent=2).encode() + b"\n")
    note = f"secrets are shown as {HIDDEN}; the command as typed is kept in {path}, which only you can read"
    return redactor.of(replace(found, notes=(*found.notes, note)))

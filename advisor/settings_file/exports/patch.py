"""Unified diff that sets the script's constants in its source, for `patch` and `git apply`."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from ...errors import UsageError
from ...refused import Refused
from ...script_constants import SourceFile, by_module, edited, source_files
from ..advisor_yaml import Document
from ._base import Draft, Emitter

NO_LINE_END = "\\ No newline at end of file\n"


def _emit(draft: Draft) -> str:
    if not draft.document.constants:
        return "The settings change no constant of the script: there is nothing to apply.\n"
    try:
        return _patch(draft.document)
    except Refused as error:
        raise UsageError(f"no patch can be made: {error}") from error


def _patch(document: Document) -> str:
    """Return the diff of all files; raise Refused if a constant can no longer be set."""
    target, is_module, folder = _script(document)
    changes = by_module(document.constants, target, is_module=is_module, cwd=str(folder))
    files = [file for file in source_files(target, is_module=is_module, cwd=str(folder)) if file.module in changes]
    inside = all(file.path.is_relative_to(folder) and ".." not in file.path.parts for file in files)
    base = folder if inside else Path(os.path.commonpath([file.path.resolve().parent for file in files]))
    lines = [
        f"Constants of {target} as found by advisor. In the folder {base}:\n\n    patch -p1 < advisor.patch\n\n",
    ]
    for file in files:
        try:
            before, after = edited(file.source, changes[file.module], is_main=file.is_main)
        except Refused as error:
            raise Refused(f"{file.path.name}: {error}") from None
        lines += _diff(file, before, after, base)
    return "".join(lines)


def _script(document: Document) -> tuple[str, bool, Path]:
    """Return the script, whether it is run as a module, and the folder that it is run in; raise Refused without one."""
    command, folder = document.found.get("command"), document.found.get("folder")
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        words = []
    is_module = words[:1] == ["-m"]
    words = words[1:] if is_module else words
    if not words:
        raise Refused("the file does not name its script")
    return words[0], is_module, Path(folder) if isinstance(folder, str) else Path.cwd()


def _diff(file: SourceFile, before: list[str], after: list[str], base: Path) -> Iterator[str]:
    inside = file.path if file.path.is_relative_to(base) else file.path.resolve()
    name = inside.relative_to(base).as_posix()
    end = "\t" if " " in name else ""  # where a name with a space ends is otherwise unknown
    for line in difflib.unified_diff(before, after, f"a/{name}{end}", f"b/{name}{end}"):
        yield line if line.endswith("\n") else f"{line}\n{NO_LINE_END}"


EMITTER = Emitter(
    id="patch",
    title="change of the script's constants",
    file_name="advisor.patch",
    usage="patch -p1 < advisor.patch   # or git apply; its first line names the folder",
    emit=_emit,
    sets_constants=True,
)

"""Stored values: a first line with kind, version and checksum, then the value as JSON.

A stored file may have been truncated, corrupted or forged. The checksum proves that it is whole, and validation that
it holds such a value. Nothing stored is ever executed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import StorageError
from ..redaction import Redactor

_MOST_HEADER_BYTES = 512
_PLAIN = frozenset((float, int, bool, type(None)))

Value = TypeVar("Value")


def _unchanged(content: dict[str, Any]) -> dict[str, Any]:
    return content


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[Value]):
    """Kind of stored value."""

    type: type[Value]
    name: str
    """Name in error messages: profile."""
    version: int
    """Version of the format that is written; all older ones can be read."""
    again: str
    """Advice on how to get a new one: profile again."""
    upgraded: Callable[[dict[str, Any]], dict[str, Any]] = _unchanged
    """Function that brings the content of an older version to the present one."""

    @property
    def header(self) -> str:
        return f"advisor {self.name}"


def encoded(value: Any, kind: Kind[Any]) -> bytes:
    """Encode a value as a document, to be written whole."""
    body = json.dumps(plain(value), separators=(",", ":")).encode("ascii")
    header = {"kind": kind.header, "version": kind.version, "sha256": _digest(kind.version, body)}
    return json.dumps(header).encode("ascii") + b"\n" + body + b"\n"


def decoded(data: bytes, kind: Kind[Value], file: Path) -> Value:
    """Decode a document, checking everything from checksum to types; raise StorageError, naming `file`, if it fails."""
    header_line, _, rest = data.partition(b"\n")
    version, digest = _header(file, header_line, kind)
    body = rest.removesuffix(b"\n")
    if version > kind.version:
        raise StorageError(
            f"{file} was written by a newer advisor (format {version}, this one reads up to {kind.version}): "
            f"upgrade advisor, or {kind.again}"
        )
    if _digest(version, body) != digest:
        raise StorageError(f"{file} is damaged (its checksum does not match its content): {kind.again}")
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind.type).validate_json(_upgraded(body, kind) if version < kind.version else body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise StorageError(f"{file} is not a {kind.name} ({where}: {first['msg']}): {kind.again}") from error


def encoded_result(result: Any, kind: Kind[Any]) -> bytes:
    """Encode the result of a run, without the path of the run's folder, which may be moved."""
    return encoded(_placed(result, ""), kind)


def decoded_result(data: bytes, kind: Kind[Value], file: Path) -> Value:
    """Decode the result of a run from this file of its folder; values that look secret in its command are redacted."""
    result: Any = decoded(data, kind, file)
    command = getattr(result, "profile", result).command
    placed: Value = _placed(Redactor.of_words(command.args).of(result), str(file.parent))
    return placed


def _placed(result: Any, folder: str) -> Any:
    """Return the result, and the profile that it may hold, as those of a run in this folder."""
    inner = {"profile": _placed(result.profile, folder)} if hasattr(result, "profile") else {}
    return dataclasses.replace(result, run_folder=folder, **inner)


def plain(value: Any) -> Any:
    """Convert dataclasses to dicts, tuples to lists, and text to what UTF-8 can hold (not all file names are)."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if dataclasses.is_dataclass(value):
        return {
            field.metadata.get("alias", field.name): plain(getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        # Series of updates make up most of a profile, and a search waits for it: convert them all at once.
        return list(value) if _PLAIN.issuperset(map(type, value)) else [plain(item) for item in value]
    return value


def finite(value: Any) -> float | None:
    """Return a stored number as a float; None for anything else, as a file may hold NaN or integers of any size."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        return None
    return float(value)


def _upgraded(body: bytes, kind: Kind[Any]) -> bytes:
    try:
        content = json.loads(body)
        return json.dumps(kind.upgraded(content)).encode("ascii") if isinstance(content, dict) else body
    except (ValueError, RecursionError):
        return body  # its validation says what is wrong with it


def _header(file: Path, line: bytes, kind: Kind[Any]) -> tuple[int, str]:
    """Return version and checksum from a document's first line."""
    foreign = StorageError(
        f"{file} is not a stored {kind.name} (its first line is not advisor's): name another, or {kind.again}"
    )
    if len(line) > _MOST_HEADER_BYTES:
        raise foreign
    try:
        header = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise foreign from error
    if not isinstance(header, dict) or header.get("kind") != kind.header:
        raise foreign
    version, digest = header.get("version"), header.get("sha256")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1 or not isinstance(digest, str):
        raise foreign
    return version, digest


def _digest(version: int, body: bytes) -> str:
    """Compute the checksum, over the version too: a corrupted version must not select another reader."""
    return hashlib.sha256(b"%d\n" % version + body).hexdigest()

"""Network clients among a script's imports, reported before its first start.

A copy-on-write view protects files, but does not undo network traffic. Connections are also reported as they are
opened (`agent.network`), but by then the first one has been made.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..progress import Progress
from ..types import Command

CLIENTS = frozenset(
    {
        *(
            "requests",
            "httpx",
            "aiohttp",
            "urllib3",
            "urllib.request",
            "http.client",
            "websocket",
            "websockets",
            "grpc",
        ),
        *("boto3", "botocore", "aioboto3", "s3fs", "gcsfs", "adlfs", "smart_open", "google.cloud", "azure", "oss2"),
        *("minio", "huggingface_hub", "datasets", "kaggle", "paramiko", "fabric", "smtplib", "ftplib", "slack_sdk"),
        *("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "sqlalchemy", "pymongo", "redis", "pyodbc"),
        *("elasticsearch", "kafka", "pika", "snowflake", "clickhouse_driver", "cassandra"),
        *("openai", "anthropic", "cohere", "replicate", "mistralai"),
    }
)
"""Packages that exist to reach another machine. Experiment trackers are left out: a probe sets them offline."""
MOST_FILES = 200
MOST_BYTES = 2 * 2**20
"""Limit on one file's size: a larger one was not written by hand."""


def tell(commands: Sequence[Command], progress: Progress) -> None:
    """Warn before the first start of what the isolation will not undo, unless no import reaches other machines.

    The commands are versions of one script; each import is named once.
    """
    found = sorted({client for command in commands for client in clients_of(command)})
    if found:
        progress.note(
            f"{commands[0].title} imports {', '.join(found)}: isolation cannot undo what it sends to other machines "
            "(uploads, databases, paid APIs)"
        )


def clients_of(command: Command) -> tuple[str, ...]:
    """Return the packages of `CLIENTS` that the script or a module beside it imports, in alphabetical order."""
    start = _start(command)
    if start is None:
        return ()
    root = Path(command.cwd) if command.is_module else start.parent
    found: set[str] = set()
    waiting, seen = [start], {start}
    while waiting and len(seen) <= MOST_FILES:
        for name in _imports(waiting.pop()):
            client = next((known for known in _parents(name) if known in CLIENTS), None)
            if client is not None:
                found.add(client)
                continue
            beside = [file for file in _files(root, name) if file not in seen]
            seen.update(beside)
            waiting += beside
    return tuple(sorted(found))


def _start(command: Command) -> Path | None:
    """Return the file that runs first; None if it is not found in the working directory."""
    if not command.is_module:
        return Path(command.cwd, command.source or command.target).resolve()
    place = Path(command.cwd, *command.target.split("."))
    candidates = (place.with_suffix(".py"), place / "__main__.py")
    return next((file.resolve() for file in candidates if file.is_file()), None)


def _imports(file: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports; none if it cannot be read or parsed."""
    try:
        if file.stat().st_size > MOST_BYTES:
            return
        tree = ast.parse(importlib.util.decode_source(file.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _parents(name: str) -> Iterator[str]:
    """Return a name and its parents: `google.cloud.storage`, `google.cloud`, `google`."""
    parts = name.split(".")
    return (".".join(parts[:length]) for length in range(len(parts), 0, -1))


def _files(root: Path, name: str) -> list[Path]:
    """Return the modules of the project that an imported name may mean."""
    found = []
    for parent in _parents(name):
        place = root.joinpath(*parent.split("."))
        found += [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()]
    return found

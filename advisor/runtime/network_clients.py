"""Network clients among a script's imports, reported before its first start.

A copy-on-write view protects files, but does not undo network traffic. Connections are also reported as they are
opened (`agent.network`), but by then the first one has been made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..progress import Progress
from ..types import Command
from . import project_modules

CLIENTS = frozenset(
    {
        *("requests", "httpx", "aiohttp", "urllib3", "urllib.request", "http.client", "websocket", "websockets"),
        *("grpc", "elasticsearch", "kafka", "pika", "snowflake", "clickhouse_driver", "cassandra"),
        *("boto3", "botocore", "aioboto3", "s3fs", "gcsfs", "adlfs", "smart_open", "google.cloud", "azure", "oss2"),
        *("minio", "huggingface_hub", "datasets", "kaggle", "paramiko", "fabric", "smtplib", "ftplib", "slack_sdk"),
        *("psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql", "sqlalchemy", "pymongo", "redis", "pyodbc"),
        *("openai", "anthropic", "cohere", "replicate", "mistralai"),
    }
)
"""Packages that exist to reach another machine. Experiment trackers are left out: a probe sets them offline."""


def warn(commands: Sequence[Command], progress: Progress) -> None:
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
    """Return the packages of `CLIENTS` that the script or a module beside it imports, in alphabetical order.

    A module of the project that has such a name stands before the package.
    """
    script = command.source or command.target
    cwd = Path(command.cwd)
    read = project_modules.sources(script, is_module=command.is_module, cwd=cwd)
    named = {parent for _source, names in read for name in names for parent in project_modules.parents(name)}
    root = project_modules.root_of(script, is_module=command.is_module, cwd=cwd)
    own = {name for name in named if project_modules.is_own(name.partition(".")[0], root)}
    return tuple(sorted((named - own) & CLIENTS))

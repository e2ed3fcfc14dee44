"""Connection to the database of `--storage URL`: made while others create its tables, and given up in bounded time."""

from __future__ import annotations

import os
import random
import time
from typing import Any

CREATED_S = 20.0
"""Longest time in which others that open a new database at the same moment may get in each other's way."""
AGAIN_S = (0.05, 0.3)
"""Range of the pauses meanwhile; they are random, so that two searches do not meet again."""
ANSWERS_S = 20
"""Seconds within which a server must answer or a lock be free; drivers would wait for minutes."""
_CONNECT: dict[str, dict[str, Any]] = {
    "sqlite+pysqlite": {"timeout": ANSWERS_S},
    "postgresql+psycopg": {"connect_timeout": ANSWERS_S, "tcp_user_timeout": 1000 * ANSWERS_S},
    "postgresql+psycopg2": {"connect_timeout": ANSWERS_S, "tcp_user_timeout": 1000 * ANSWERS_S},
    "mysql+pymysql": {"connect_timeout": ANSWERS_S},
    "mysql+mysqldb": {"connect_timeout": ANSWERS_S},
}
"""Driver → what it calls these limits."""


class Database:
    """Optuna storage behind a URL."""

    def __init__(self, url: str, optuna: Any) -> None:
        """Connect, and create the tables of a new database; whatever the driver raises is passed on."""
        import sqlalchemy

        target = sqlalchemy.engine.make_url(url)
        self._file = target.database if target.get_backend_name() == "sqlite" else None
        limits = _CONNECT.get(f"{target.get_backend_name()}+{target.get_driver_name()}", {})
        # What the URL itself says, counts.
        limits = {name: value for name, value in limits.items() if name not in target.query}
        self.storage: Any = _created(url, {"connect_args": limits, "pool_pre_ping": True}, optuna)
        self._inode = self._present_inode()

    def check(self) -> None:
        """Raise OSError if the file of an SQLite database was removed or replaced: writes would reach nobody."""
        if self._present_inode() != self._inode:
            raise OSError("its file was removed or replaced")

    def close(self) -> None:
        """Close all connections."""
        self.storage._backend.engine.dispose()

    def _present_inode(self) -> int | None:
        try:
            return os.stat(self._file).st_ino if self._file else None  # noqa: PTH116  # `file:` URIs are no paths
        except OSError:
            return None


def _created(url: str, engine: dict[str, Any], optuna: Any) -> Any:
    """Return the storage; if a statement fails because another search creates its tables meanwhile, try again."""
    from sqlalchemy.exc import DBAPIError

    until_s = time.monotonic() + CREATED_S
    while True:
        try:
            return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=engine))
        except (DBAPIError, AssertionError) as error:
            # Without a statement, there was no connection: a second try would only keep the user waiting.
            unreachable = isinstance(error, DBAPIError) and error.statement is None
            if unreachable or time.monotonic() > until_s:
                raise
        time.sleep(random.uniform(*AGAIN_S))

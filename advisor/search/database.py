"""Connection to the database of `--storage URL`: made while others create its tables, and given up in bounded time."""

from __future__ import annotations

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


def opened(url: str, optuna: Any) -> Any:
    """Return Optuna's storage behind the URL; whatever the driver raises is passed on.

    If a statement fails because another search creates the tables of a new database meanwhile, it is tried again.
    """
    import sqlalchemy

    target = sqlalchemy.engine.make_url(url)
    limits = _CONNECT.get(f"{target.get_backend_name()}+{target.get_driver_name()}", {})
    # What the URL itself says, counts.
    limits = {name: value for name, value in limits.items() if name not in target.query}
    engine = {"connect_args": limits, "pool_pre_ping": True}
    until_s = time.monotonic() + CREATED_S
    while True:
        try:
            return optuna.storages.get_storage(optuna.storages.RDBStorage(url, engine_kwargs=engine))
        except (sqlalchemy.exc.DBAPIError, AssertionError) as error:
            # Without a statement, there was no connection: a second try would only keep the user waiting.
            unreachable = isinstance(error, sqlalchemy.exc.DBAPIError) and error.statement is None
            if unreachable or time.monotonic() > until_s:
                raise
        time.sleep(random.uniform(*AGAIN_S))


def close(storage: Any) -> None:
    """Close the storage's connections."""
    storage._backend.engine.dispose()

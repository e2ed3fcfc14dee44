"""Database of `--storage URL`: its tables, made while others make them, and connections given up in bounded time.

Times in it are the server's own: the clocks of the machines that share a study need not agree.
"""

from __future__ import annotations

import functools
import random
import time
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..redaction import Redactor
from ..spelling import parameter

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Engine, MetaData, Table

SCHEMES = ("sqlite", "postgresql", "mysql")
"""Databases that handle concurrent writers."""
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
STUDIES, SEARCHES, VALUES, TRIALS = "advisor1_studies", "advisor1_searches", "advisor1_values", "advisor1_trials"
"""The tables. Their names hold the version of their form, so that another version makes its own."""
_NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "postgresql": "extract(epoch from clock_timestamp())",
    "mysql": "unix_timestamp(sysdate(6))",
}
"""Dialect → its present time in seconds. A transaction's own time stands still in it."""


def check_url(url: str) -> None:
    """Raise UsageError for anything but a database that processes can share."""
    scheme = url.partition("://")[0].partition("+")[0]
    if "://" not in url or scheme not in SCHEMES:
        raise UsageError(
            f"invalid {parameter('storage', shown(url))}: expected a URL with {', '.join(SCHEMES)}, as "
            "in sqlite:///study.db"
        )


def shown(url: str) -> str:
    """Return the URL without its user and password."""
    return Redactor().text(url)


def opened(url: str) -> Engine:
    """Connect to the database behind the URL, with its tables made; whatever the driver raises is passed on.

    If a statement fails because another search creates the tables of a new database meanwhile, it is tried again.
    """
    import sqlalchemy

    target = sqlalchemy.engine.make_url(url)
    limits = _CONNECT.get(f"{target.get_backend_name()}+{target.get_driver_name()}", {})
    # What the URL itself says, counts.
    limits = {name: value for name, value in limits.items() if name not in target.query}
    engine = sqlalchemy.create_engine(target, connect_args=limits, pool_pre_ping=True)
    until_s = time.monotonic() + CREATED_S
    while True:
        try:
            metadata().create_all(engine)
            return engine
        except sqlalchemy.exc.DBAPIError as error:
            # Without a statement, there was no connection: a second try would only keep the user waiting.
            if error.statement is None or time.monotonic() > until_s:
                engine.dispose()
                raise
        time.sleep(random.uniform(*AGAIN_S))


def opened_for_user(url: str) -> Engine:
    """Connect as `opened` does; raise UsageError in one line, without the password, if that fails."""
    check_url(url)
    try:
        return opened(url)
    except Exception as error:
        raise UsageError(f"cannot open {parameter('storage', shown(url))}: {_why(error)}") from None


def now(engine: Engine) -> ColumnElement[float]:
    """Return the expression for the present time of the server."""
    import sqlalchemy

    return sqlalchemy.literal_column(_NOW[engine.dialect.name], sqlalchemy.Float)


@functools.cache
def metadata() -> MetaData:
    """Return the form of the tables."""
    import sqlalchemy as sql
    from sqlalchemy.dialects import mysql

    long = sql.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
    tables = sql.MetaData()
    sql.Table(
        STUDIES,
        tables,
        sql.Column("name", sql.String(128), primary_key=True),
        sql.Column("document", long, nullable=False),
    )
    sql.Table(
        SEARCHES,
        tables,
        sql.Column("name", sql.String(64), primary_key=True),
        sql.Column("study", sql.String(128), nullable=False, index=True),
        sql.Column("machine", sql.String(64), nullable=False),
        sql.Column("ended", long, nullable=False),
        sql.Column("profile", long, nullable=False),
    )
    sql.Table(
        VALUES,
        tables,
        sql.Column("search", sql.String(64), primary_key=True),
        sql.Column("knob", sql.String(64), primary_key=True),
        sql.Column("values", long, nullable=False),
    )
    sql.Table(
        TRIALS,
        tables,
        sql.Column("id", sql.Integer, primary_key=True, autoincrement=True),
        sql.Column("search", sql.String(64), nullable=False),
        sql.Column("config", sql.String(64), nullable=False),
        sql.Column("settings", long, nullable=False),
        sql.Column("state", sql.String(16), nullable=False),
        sql.Column("token", sql.String(64)),
        sql.Column("owner", sql.String(128)),
        sql.Column("host", sql.String(128)),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("lease_until_s", sql.Double, nullable=False),
        sql.Column("record", long),
        sql.UniqueConstraint("search", "config"),
    )
    return tables


def table(name: str) -> Table:
    return metadata().tables[name]


def first_line(error: BaseException) -> str:
    """Return what the driver itself said: its wrappers word a lost connection at length."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip().partition("\n")[0][:200]
    return Redactor().text(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _why(error: BaseException) -> str:
    cause = error.__cause__ if error.__cause__ is not None else error
    if isinstance(cause, ModuleNotFoundError):
        return f"install its driver {cause.name}, or name another, as in postgresql+psycopg2://…"
    return first_line(error)

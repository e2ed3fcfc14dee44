"""Leases on the trials of a shared search: who runs a configuration, until when, and what came of it.

A configuration of a search is one row, so that no trial is run twice. Whoever runs it holds a lease, which is renewed
while he lives. After it has run out, the row is free for others, who get a token of their own: a process that was only
slow finds that its token is no longer valid, and its result is not taken.
"""

from __future__ import annotations

import hashlib
import json
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import database

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Update

    from ..types import SettingValue

LEASE_S = 60.0
"""Seconds after its last sign of life from which a process counts as killed."""
RENEWALS = 4
"""Signs of life in that time: a server that is away for less than three of them costs nobody a trial."""
MOST_ATTEMPTS = 5
"""Times that the process of a configuration may be killed; then it is no longer offered: it may be what kills them."""
WAITING, RUNNING, DONE, GIVEN_UP = "waiting", "running", "done", "given up"
NAME_CHARACTERS = 128


@dataclass(frozen=True, kw_only=True)
class Row:
    """A configuration of the search, as the database holds it."""

    id: int
    settings: Mapping[str, Any]
    state: str
    owner: str
    host: str
    attempts: int
    is_free: bool
    """True if it waits for somebody to run it: it was given back, or its lease has run out."""
    record: str | None
    """The trial as its process has told it; None before."""


class Leases:
    """Rows of one search. Every method is one transaction, and raises what the driver raises."""

    def __init__(self, engine: Engine, search: str, owner: str, *, lease_s: float = LEASE_S) -> None:
        self._engine = engine
        self._search = search
        self._owner = owner[:NAME_CHARACTERS]
        self._lease_s = lease_s
        self._table = database.table(database.TRIALS)

    def claim(self, settings: Mapping[str, SettingValue]) -> str | None:
        """Take a configuration that nobody has, or whose lease has run out; return its token, None if it is taken."""
        import sqlalchemy as sql

        token, columns = uuid.uuid4().hex, self._table.c
        free = sql.and_(self._is(settings), self._is_free(), columns.attempts < MOST_ATTEMPTS)
        taken = sql.update(self._table).where(free).values(**self._held(token), attempts=columns.attempts + 1)
        is_ours = self._change(taken) or self._insert(settings, {**self._held(token), "attempts": 1})
        return token if is_ours else None

    def renew(self, token: str) -> bool:
        """Extend the lease; return False if it is no longer ours."""
        import sqlalchemy as sql

        return self._change(sql.update(self._table).where(self._mine(token)).values(lease_until_s=self._until()))

    def finish(self, token: str, record: str) -> bool:
        """Store what came of the trial; return False, and store nothing, if the lease is no longer ours."""
        import sqlalchemy as sql

        done = {"state": DONE, "record": record, "token": None}
        return self._change(sql.update(self._table).where(self._mine(token)).values(**done))

    def add(self, settings: Mapping[str, SettingValue], record: str) -> bool:
        """Store a trial that was run without a lease; return False if somebody else has it, or had it."""
        import sqlalchemy as sql

        done = {"state": DONE, "record": record, "token": None, "owner": self._owner, "host": _host()}
        waiting = sql.update(self._table).where(self._is(settings), self._is_free())
        return self._change(waiting.values(**done)) or self._insert(
            settings, {**done, "attempts": 1, "lease_until_s": 0.0}
        )

    def give_back(self, *, but: str | None = None) -> None:
        """Free what this owner holds, from an earlier process too, but for one token. It counts as no attempt."""
        import sqlalchemy as sql

        columns = self._table.c
        ours = sql.and_(self._of_search(), columns.owner == self._owner, columns.state == RUNNING)
        if but is not None:
            ours = sql.and_(ours, columns.token != but)
        freed = {"state": WAITING, "token": None, "attempts": columns.attempts - 1}
        self._change(sql.update(self._table).where(ours).values(**freed))

    def rows(self) -> Sequence[Row]:
        """Return all rows of the search, the oldest first; those that ended too many processes are given up."""
        import sqlalchemy as sql

        columns = self._table.c
        with self._engine.begin() as connection:
            found = self._read(connection)
            if any(row.is_free and row.attempts >= MOST_ATTEMPTS for row in found):
                worn = sql.and_(self._of_search(), self._is_free(), columns.attempts >= MOST_ATTEMPTS)
                connection.execute(sql.update(self._table).where(worn).values(state=GIVEN_UP, token=None))
                found = self._read(connection)
        return found

    def _read(self, connection: Connection) -> Sequence[Row]:
        import sqlalchemy as sql

        columns = self._table.c
        free = sql.case((self._is_free(), 1), else_=0)
        statement = sql.select(self._table, free.label("is_free")).where(self._of_search()).order_by(columns.id)
        return [
            Row(
                id=row.id,
                settings=_settings(row.settings),
                state=row.state,
                owner=row.owner or "",
                host=row.host or "",
                attempts=row.attempts,
                is_free=bool(row.is_free),
                record=row.record,
            )
            for row in connection.execute(statement)
        ]

    def _insert(self, settings: Mapping[str, SettingValue], row: Mapping[str, Any]) -> bool:
        """Add a row; return False if there is one."""
        import sqlalchemy as sql

        with self._engine.connect() as connection:  # most are there: a server logs each refused insertion
            if connection.execute(sql.select(self._table.c.id).where(self._is(settings))).first() is not None:
                return False
        try:
            with self._engine.begin() as connection:
                connection.execute(sql.insert(self._table).values({**self._row(settings), **row}))
        except sql.exc.IntegrityError:  # another process was faster
            return False
        return True

    def _change(self, statement: Update) -> bool:
        with self._engine.begin() as connection:
            return bool(connection.execute(statement).rowcount)

    def _row(self, settings: Mapping[str, SettingValue]) -> dict[str, Any]:
        return {"search": self._search, "config": key(settings), "settings": json.dumps(dict(settings))}

    def _held(self, token: str) -> dict[str, Any]:
        host = _host()
        return {
            "state": RUNNING,
            "token": token,
            "owner": self._owner,
            "host": host,
            "lease_until_s": self._until(),
        }

    def _until(self) -> ColumnElement[float]:
        return database.now(self._engine) + self._lease_s

    def _of_search(self) -> ColumnElement[bool]:
        return self._table.c.search == self._search

    def _is(self, settings: Mapping[str, SettingValue]) -> ColumnElement[bool]:
        import sqlalchemy as sql

        return sql.and_(self._of_search(), self._table.c.config == key(settings))

    def _mine(self, token: str) -> ColumnElement[bool]:
        import sqlalchemy as sql

        return sql.and_(self._table.c.token == token, self._table.c.state == RUNNING)

    def _is_free(self) -> ColumnElement[bool]:
        import sqlalchemy as sql

        columns = self._table.c
        over = sql.and_(columns.state == RUNNING, columns.lease_until_s < database.now(self._engine))
        return sql.or_(columns.state == WAITING, over)


def key(settings: Mapping[str, SettingValue]) -> str:
    """Return the name of a configuration: the same for the same settings in any order."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:32]


def _host() -> str:
    return socket.gethostname()[:NAME_CHARACTERS]


def _settings(text: str) -> Mapping[str, Any]:
    """Return settings that another process wrote; none if they are something else."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

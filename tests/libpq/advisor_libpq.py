"""The least PostgreSQL driver that the tests need, over the system's libpq: for machines without psycopg.

It has what SQLAlchemy calls of PEP 249, for statements with parameters `$1` in text form. A folder with this file on
PYTHONPATH makes `postgresql+libpq://` a URL; users install psycopg.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGDialect

apilevel, threadsafety, paramstyle = "2.0", 1, "numeric_dollar"
OK, TUPLES, COMMAND = 0, 2, 1
CONVERTED = {16: lambda text: text == "t", 20: int, 21: int, 23: int, 700: float, 701: float, 1700: float}
"""Type's number in PostgreSQL → how its text is read."""


SENT = {bool: 16, int: 20, float: 701}
"""The same for parameters; the server finds out what a text stands for."""


class Error(Exception):
    sqlstate = ""


class InterfaceError(Error): ...


class DatabaseError(Error): ...


class OperationalError(DatabaseError): ...


class IntegrityError(DatabaseError): ...


class ProgrammingError(DatabaseError): ...


class InternalError(DatabaseError): ...


class DataError(DatabaseError): ...


class NotSupportedError(DatabaseError): ...


def _library() -> Any:
    found = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("PQconnectdb", pointer, [text]),
        ("PQstatus", ctypes.c_int, [pointer]),
        ("PQerrorMessage", text, [pointer]),
        ("PQfinish", None, [pointer]),
        ("PQsetNoticeProcessor", pointer, [pointer, pointer, pointer]),
        ("PQexecParams", pointer, [pointer, text, ctypes.c_int, pointer, pointer, pointer, pointer, ctypes.c_int]),
        ("PQresultStatus", ctypes.c_int, [pointer]),
        ("PQresultErrorMessage", text, [pointer]),
        ("PQresultErrorField", text, [pointer, ctypes.c_int]),
        ("PQclear", None, [pointer]),
        ("PQntuples", ctypes.c_int, [pointer]),
        ("PQnfields", ctypes.c_int, [pointer]),
        ("PQfname", text, [pointer, ctypes.c_int]),
        ("PQftype", ctypes.c_uint, [pointer, ctypes.c_int]),
        ("PQgetisnull", ctypes.c_int, [pointer, ctypes.c_int, ctypes.c_int]),
        ("PQgetvalue", text, [pointer, ctypes.c_int, ctypes.c_int]),
        ("PQcmdTuples", text, [pointer]),
    ):
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


PQ = _library()
SILENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda _data, _message: None)
"""In place of libpq's own, which prints the server's notices."""


def connect(**given: Any) -> Connection:
    return Connection(" ".join(f"{name}={_quoted(value)}" for name, value in given.items()))


def _quoted(value: Any) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


class Connection:
    def __init__(self, words: str) -> None:
        self._pq = PQ.PQconnectdb(words.encode())
        self._in_transaction = False
        if PQ.PQstatus(self._pq) != OK:
            message = PQ.PQerrorMessage(self._pq).decode().strip()
            self.close()
            raise OperationalError(message)
        PQ.PQsetNoticeProcessor(self._pq, SILENT, None)

    def cursor(self) -> Cursor:
        return Cursor(self)

    def run(self, statement: str, parameters: Any = ()) -> Any:
        if not self._in_transaction:
            self._in_transaction = True
            PQ.PQclear(self._execute("BEGIN", ()))
        return self._execute(statement, parameters)

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        if self._pq:
            PQ.PQfinish(self._pq)
            self._pq = None

    def _end(self, statement: str) -> None:
        if self._in_transaction:
            self._in_transaction = False
            PQ.PQclear(self._execute(statement, ()))

    def _execute(self, statement: str, parameters: Any) -> Any:
        if not self._pq:
            raise InterfaceError("the connection is closed")
        texts = [None if value is None else _text(value).encode() for value in parameters]
        values = (ctypes.c_char_p * len(texts))(*texts)
        types = (ctypes.c_uint * len(texts))(*(SENT.get(type(value), 0) for value in parameters))
        found = PQ.PQexecParams(self._pq, statement.encode(), len(texts), types, values, None, None, 0)
        if PQ.PQresultStatus(found) not in (COMMAND, TUPLES):
            raise _error(self._pq, found)
        return found


def _text(value: Any) -> str:
    return {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)


def _error(connection: Any, result: Any) -> Error:
    state = PQ.PQresultErrorField(result, ord("C")) if result else None
    message = (PQ.PQresultErrorMessage(result) if result else PQ.PQerrorMessage(connection)).decode().strip()
    PQ.PQclear(result)
    code = state.decode() if state else ""
    lost = not code or PQ.PQstatus(connection) != OK or code.startswith(("57", "08"))
    kind = OperationalError if lost else {"23": IntegrityError, "42": ProgrammingError}.get(code[:2], DatabaseError)
    error = kind(message)
    error.sqlstate = code
    return error


class Cursor:
    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self._rows: list[tuple[Any, ...]] = []

    def execute(self, statement: str, parameters: Any = ()) -> None:
        found = self.connection.run(statement, parameters)
        columns = range(PQ.PQnfields(found))
        types = [PQ.PQftype(found, column) for column in columns]
        names = [PQ.PQfname(found, column).decode() for column in columns]
        self.description = [(name, kind, None, None, None, None, None) for name, kind in zip(names, types, strict=True)]
        self.description = self.description or None
        self._rows = [
            tuple(_value(found, row, column, types[column]) for column in columns) for row in range(PQ.PQntuples(found))
        ]
        changed = PQ.PQcmdTuples(found)
        self.rowcount = int(changed) if changed else -1
        PQ.PQclear(found)

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> Any:
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self) -> Any:
        return self.fetchmany(len(self._rows))

    def setinputsizes(self, *_sizes: Any) -> None: ...

    def setoutputsize(self, *_sizes: Any) -> None: ...

    def close(self) -> None: ...


def _value(found: Any, row: int, column: int, kind: int) -> Any:
    if PQ.PQgetisnull(found, row, column):
        return None
    return CONVERTED.get(kind, str)(PQ.PQgetvalue(found, row, column).decode())


class Dialect(PGDialect):
    driver = "libpq"
    default_paramstyle = "numeric_dollar"
    supports_statement_cache = True

    @classmethod
    def import_dbapi(cls) -> Any:
        import advisor_libpq

        return advisor_libpq

    def create_connect_args(self, url: Any) -> tuple[list[Any], dict[str, Any]]:
        return [], {**url.translate_connect_args(username="user", database="dbname"), **url.query}

    def is_disconnect(self, error: Any, _connection: Any, _cursor: Any) -> bool:
        return isinstance(error, OperationalError | InterfaceError)

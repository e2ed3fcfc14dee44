"""Studies by name in the database: what a worker needs to take part, and which of their searches have ended.

A study has one search for each kind of machine, since speeds are comparable on like hardware only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ..errors import UsageError
from ..redaction import Redactor
from ..spelling import parameter
from ..types import Command, Hardware
from . import database
from .leases import NAME_CHARACTERS

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOST_NAMED = 20
"""Studies that an error lists."""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """Contents of a study. It holds no secret: words that do are replaced."""

    advisor: str
    """Version of advisor that began it; another one may measure in another way."""
    project: str
    """Digest of the script and of the project's modules that it imports."""
    script: str
    """Path from the project's folder, or name of a module."""
    module: bool
    args: tuple[str, ...]
    options: Mapping[str, Any]
    """Keyword arguments of the search."""


def check_name(name: str) -> None:
    """Raise UsageError for a name that a study cannot have."""
    if not name.strip() or len(name) > NAME_CHARACTERS or not name.isprintable():
        raise UsageError(
            f"invalid {parameter('study', name)}: expected 1 to {NAME_CHARACTERS} printable characters, such as "
            "resnet-a"
        )


def begin(engine: Engine, name: str, record: StudyRecord) -> StudyRecord:
    """Store a new study, or return the record of the one that is there."""
    import sqlalchemy as sql

    table = database.table(database.STUDIES)
    document = json.dumps(asdict(record), sort_keys=True)
    try:
        with engine.begin() as connection:
            connection.execute(sql.insert(table).values(name=name, document=document))
    except sql.exc.IntegrityError:
        found = find(engine, name)
        return record if found is None else found
    return record


def find(engine: Engine, name: str) -> StudyRecord | None:
    """Return the study's record; None if there is no such study. Raise UsageError for one that cannot be read."""
    import sqlalchemy as sql

    table = database.table(database.STUDIES)
    with engine.connect() as connection:
        document = connection.execute(sql.select(table.c.document).where(table.c.name == name)).scalar()
    if document is None:
        return None
    try:
        return TypeAdapter(StudyRecord).validate_json(document)
    except ValidationError:
        raise UsageError(
            f"the study {name} was written by another version of advisor: begin one with another name"
        ) from None


def names(engine: Engine) -> list[str]:
    import sqlalchemy as sql

    table = database.table(database.STUDIES)
    with engine.connect() as connection:
        return list(connection.execute(sql.select(table.c.name).order_by(table.c.name)).scalars())


def unknown(name: str, known: list[str], shown_url: str) -> UsageError:
    """Return the error for a study that is not there, with those that are."""
    if not known:
        return UsageError(
            f"no study {name!r} in {shown_url}, which holds none: begin it with advisor tune --storage URL "
            f"--study {name} SCRIPT"
        )
    listed = ", ".join(known[:MOST_NAMED]) + (", …" if len(known) > MOST_NAMED else "")
    return UsageError(f"no study {name!r} in {shown_url}: expected one of {listed}")


def identity_of(command: Command | None) -> list[Any]:
    """Return what tells one training from another; each machine may have a key of its own."""
    if command is None:
        return []
    shown = Redactor().of(command)
    return [shown.target, shown.is_module, list(shown.args)]


# --- searches of a study ----------------------------------------------------------------------------------------------


def machine_key(hardware: Hardware, torch: str | None) -> str:
    """Return a name shared by machines whose speeds are comparable: the same processors, memory and torch."""
    parts = {
        "cpu": hardware.cpu.model,
        "usable_cpus": hardware.cpu.usable_cpus,
        "memory": _rounded(hardware.memory_limit_bytes),
        "accelerators": [[device.name, _rounded(device.memory_bytes or 0)] for device in hardware.accelerators],
        "torch": torch,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _rounded(size_bytes: int) -> str:
    """Return a size to two digits: kernels of like machines differ in what they keep for themselves."""
    return f"{size_bytes:.1e}"


def add_search(engine: Engine, name: str, study: str, machine: str, profile: str = "") -> None:
    """Note that the study has a search for this kind of machine, with the profile that the first one has made."""
    import sqlalchemy as sql

    table = database.table(database.SEARCHES)
    with engine.connect() as connection:
        if connection.execute(sql.select(table.c.name).where(table.c.name == name)).first() is not None:
            return
    try:
        with engine.begin() as connection:
            connection.execute(
                sql.insert(table).values(name=name, study=study, machine=machine, ended="", profile=profile)
            )
    except sql.exc.IntegrityError:
        return


def end_search(engine: Engine, name: str, why: str) -> None:
    """Note that a search has nothing left to try."""
    import sqlalchemy as sql

    table = database.table(database.SEARCHES)
    with engine.begin() as connection:
        connection.execute(sql.update(table).where(table.c.name == name, table.c.ended == "").values(ended=why))


def profile_of(engine: Engine, name: str) -> str:
    """Return the profile with which a search began, as it was stored; an empty text if there is none."""
    import sqlalchemy as sql

    table = database.table(database.SEARCHES)
    with engine.connect() as connection:
        return connection.execute(sql.select(table.c.profile).where(table.c.name == name)).scalar() or ""


def ended(engine: Engine, name: str) -> str:
    """Return why a search has ended; an empty text while it goes on."""
    import sqlalchemy as sql

    table = database.table(database.SEARCHES)
    with engine.connect() as connection:
        return connection.execute(sql.select(table.c.ended).where(table.c.name == name)).scalar() or ""

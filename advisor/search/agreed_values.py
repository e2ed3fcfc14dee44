"""Values of knobs that the processes of a shared search have agreed on: those of the first one that opened a knob.

Values follow from a profile (twice as many workers as it saw needed), so those of two profiles differ by their noise.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import knobs
from ..types import KnobSpace
from . import database
from .space import Space

if TYPE_CHECKING:
    from sqlalchemy import Engine


def agreed(engine: Engine, search: str, space: Space) -> Space:
    """Store the values of knobs that nobody has opened before; return the space with those that hold for all."""
    import sqlalchemy as sql

    table = database.table(database.VALUES)
    known = _stored(engine, search)
    for knob in space.knobs:
        if knob.id not in known:
            row = {"search": search, "knob": knob.id, "values": json.dumps(list(knob.values))}
            try:
                with engine.begin() as connection:
                    connection.execute(sql.insert(table).values(row))
            except sql.exc.IntegrityError:  # another process was faster
                known = _stored(engine, search)
    return replace(space, knobs=tuple(_with_values(knob, known.get(knob.id)) for knob in space.knobs))


def _stored(engine: Engine, search: str) -> dict[str, Any]:
    import sqlalchemy as sql

    table = database.table(database.VALUES)
    with engine.connect() as connection:
        rows = connection.execute(sql.select(table.c.knob, table.c["values"]).where(table.c.search == search)).all()
    return {name: _read(text) for name, text in rows}


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _with_values(knob: KnobSpace, stored: Any) -> KnobSpace:
    """Return the knob with the stored values; as it is if another process has written something else there."""
    if not isinstance(stored, list) or not stored:
        return knob
    wrong = knobs.get(knob.id).wrong
    if any(not isinstance(value, bool | int | float | str) or wrong(value) is not None for value in stored):
        return knob
    return replace(knob, values=tuple(stored))

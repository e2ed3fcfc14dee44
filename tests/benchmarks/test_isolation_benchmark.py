"""All ways of writing at each level: what changes outside is what the table of promises allows, and is reported."""

from __future__ import annotations

import _ways
import pytest
from isolation import _cell
from ways_of_writing import WAYS

from advisor.errors import IsolationError
from advisor.runtime.isolation.promises import Level

METADATA = {
    *("chmod", "fchmod", "chmod of a folder", "chown", "utime", "utime of a descriptor"),
    *("setxattr", "removexattr", "file flags"),
}


def outcomes(level: Level) -> list[_ways.Outcome]:
    try:
        return _ways.outcomes(level)
    except IsolationError as error:
        pytest.skip(str(error))


def test_there_are_57_ways() -> None:
    assert len(WAYS) == 57
    assert set(WAYS) >= METADATA


@pytest.mark.slow(12)
@pytest.mark.parametrize("level", [Level.OVERLAY, Level.LANDLOCK])
def test_no_way_changes_a_file_outside(level: Level) -> None:
    assert [one for one in outcomes(level) if one.changed] == []


@pytest.mark.slow(12)
@pytest.mark.parametrize("level", [Level.LANDLOCK_ALONE, Level.COPY])
def test_what_changes_in_the_project_is_reported(level: Level) -> None:
    _relative, project, elsewhere = _ways.PLACES
    changed = [one for one in outcomes(level) if one.changed]
    assert {one.place for one in changed} == {project, elsewhere}
    assert [one for one in changed if one.place == project and not one.reported] == []
    assert level is Level.COPY or {one.way for one in changed} <= METADATA


def test_a_cell_has_one_word_or_one_for_each_place() -> None:
    def outcome(place: int, trouble: str = "", *, changed: bool = False, reported: bool = False) -> _ways.Outcome:
        return _ways.Outcome(way="open", place=_ways.PLACES[place], trouble=trouble, changed=changed, reported=reported)

    assert _cell([outcome(0), outcome(1), outcome(2)]) == "kept"
    assert _cell([outcome(0, "OSError"), outcome(1), outcome(2)]) == "kept, does not work"
    unprotected = [outcome(0), outcome(1, changed=True, reported=True), outcome(2, changed=True)]
    assert _cell(unprotected) == "kept / reported / changed"

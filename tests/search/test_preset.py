"""The profiles that ship."""

from __future__ import annotations

import pytest

from advisor import knobs
from advisor.errors import UsageError
from advisor.search import read
from advisor.storage.data_files import profiles_folder

NAMES = sorted(path.stem for path in (profiles_folder() / "search").glob("*.toml"))


def test_they_are_those_of_the_documentation() -> None:
    assert NAMES == ["balanced", "language", "quick", "tabular", "thorough", "vision"]


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_read_and_names_knobs_that_there_are(name: str) -> None:
    assert set(read(name).open) <= {knob.id for knob in knobs.all_knobs()}


def test_the_more_thorough_look_longer() -> None:
    windows = [(read(name).window_s, read(name).most_trials) for name in ("quick", "balanced", "thorough")]
    assert windows == sorted(windows)


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="balanced, language, quick"):
        read("fast")

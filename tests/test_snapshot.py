"""The comparison with a stored text fails, and says what to do, where the text is another or missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from snapshot import RENEW, Snapshot


def test_a_text_that_is_not_stored_fails_with_the_command_that_stores_it(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=rf"(?s)\+one.*{RENEW}"):
        Snapshot(renew=False, folder=tmp_path)("here/said", "one")
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_differs_fails_with_both_lines(tmp_path: Path) -> None:
    Snapshot(renew=True, folder=tmp_path)("said", "one\ntwo")
    with pytest.raises(pytest.fail.Exception, match=r"(?s)-two.*\+three"):
        Snapshot(renew=False, folder=tmp_path)("said", "one\nthree")


def test_a_text_that_was_renewed_passes(tmp_path: Path) -> None:
    for text in ("one", "two  \n"):
        Snapshot(renew=True, folder=tmp_path)("said", text)
    Snapshot(renew=False, folder=tmp_path)("said", "two")
    assert (tmp_path / "said.txt").read_text() == "two\n"

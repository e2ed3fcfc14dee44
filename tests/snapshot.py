"""Text that users read, kept in files under tests/snapshots and compared whole.

`pytest --renew-snapshots` writes the files anew; what changed is then read in the diff of the commit.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "snapshots"
RENEW = "--renew-snapshots"


class Snapshot:
    """Comparison of text with its file under tests/snapshots."""

    def __init__(self, *, renew: bool, folder: Path = FOLDER) -> None:
        self._renew = renew
        self._folder = folder

    def __call__(self, name: str, text: str) -> None:
        """Fail unless the file `name`.txt holds this text; trailing spaces do not count."""
        path = self._folder / f"{name}.txt"
        text = "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"
        stored = path.read_text(encoding="utf-8") if path.is_file() else ""
        if stored == text:
            return
        if self._renew:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        lines = (stored.splitlines(), text.splitlines())
        diff = "\n".join(difflib.unified_diff(*lines, f"stored {name}.txt", "now", lineterm=""))
        pytest.fail(f"{diff}\n\nIf this is what users shall read: pytest {RENEW}", pytrace=False)

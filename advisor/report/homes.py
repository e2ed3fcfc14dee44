"""Home folders in pages: their paths name a person, and mean nothing on the reader's machine."""

from __future__ import annotations

import re
from pathlib import Path

from markupsafe import escape

_USUAL = r"/(?:home|Users)/[^/\s\"'<>&;:]+|[A-Za-z]:\\Users\\[^\\\s\"'<>&;:]+"
"""Home folders on Linux, macOS and Windows: a run may have been stored by somebody else."""


def shortened(page: str) -> str:
    """Return the page's text with `~` for the paths of home folders."""
    homes = {str(home) for home in _homes() if len(home.parts) > 1}  # a service may have `/`
    own = "|".join(re.escape(str(escape(home))) for home in sorted(homes, key=len, reverse=True))
    pattern = "|".join(filter(None, (own, _USUAL)))
    return re.sub(rf"(?<![\w.~-])(?:{pattern})(?![\w.-])", "~", page)


def _homes() -> set[Path]:
    try:
        home = Path.home()
    except RuntimeError:  # the user has no entry in the list of users
        return set()
    return {home, home.resolve()}

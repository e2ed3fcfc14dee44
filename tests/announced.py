"""The line with which `advisor run` says what it applies: it stands before all else on stderr."""

from __future__ import annotations

import re

_LINE = re.compile(r"advisor: \S+: (?:no )?(?:settings|arguments|constants)\b.*\n?")


def without_announcement(stderr: str) -> str:
    """What else a run wrote to stderr."""
    return _LINE.sub("", stderr, count=1) if _LINE.match(stderr) else stderr

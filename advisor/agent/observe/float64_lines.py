"""Lines of the user's files that make tensors float64."""

from __future__ import annotations

import functools
import re
import sys

from ..loop.frames import USER, Frames

MOST_LINES = 3
MOST_FILES = 500
MOST_BYTES = 1_000_000
_FLOAT64 = r"torch\.(?:float64|double)\b"
_DEFAULT = rf"set_default_dtype\(\s*{_FLOAT64}|set_default_tensor_type\(.*Double"
"""Calls that change every later tensor."""
_ASKS = re.compile(
    rf"(?P<default>{_DEFAULT})|\.double\(\)|\.to\([^)]*{_FLOAT64}|dtype\s*=\s*{_FLOAT64}|\.type\([^)]*DoubleTensor"
    r"|precision\s*=\s*[\"']?64"
)


@functools.cache
def float64_lines() -> list[str]:
    """Return the first such lines as `file:line`, those that change the default dtype before all others."""
    frames = Frames()
    found: list[tuple[bool, str]] = []
    files = {str(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    for file in [name for name in sorted(files) if frames.owner(name) == USER][:MOST_FILES]:
        try:
            with open(file, encoding="utf-8", errors="replace") as source:
                text = source.read(MOST_BYTES)
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            match = _ASKS.search(line.partition("#")[0])
            if match is not None:
                found.append((match["default"] is None, f"{file}:{number}"))
    return [line for _, line in sorted(found, key=lambda entry: entry[0])[:MOST_LINES]]

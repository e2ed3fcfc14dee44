"""Files of installed packages."""

from __future__ import annotations

from pathlib import PurePath

_FOLDERS = ("site-packages", "dist-packages")


def installed_name(file: str) -> str:
    """Return the file as its package names it, `torchvision/datasets/folder.py`; "" if it is not installed."""
    parts = PurePath(file).parts
    at = max((place for place, part in enumerate(parts) if part in _FOLDERS), default=None)
    return "" if at is None else PurePath(*parts[at + 1 :]).as_posix()

"""Readers of the small files of /proc and /sys, which may be missing, unreadable or vanish meanwhile."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """Return the file's text without surrounding white space; None if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path, *, base: int = 10) -> int | None:
    """Return the file's only number; None if there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def entries(folder: Path, pattern: str) -> list[Path]:
    """Return the folder's entries that match `pattern`, sorted; none if the folder cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []

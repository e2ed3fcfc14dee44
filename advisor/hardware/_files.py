"""Reading the small files of /proc and /sys, which may be missing, unreadable or vanish meanwhile."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str | None:
    """The file's text without surrounding white space; None where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_int(path: Path, *, base: int = 10) -> int | None:
    """The file's one number; None where there is none."""
    text = read_text(path)
    try:
        return None if text is None else int(text, base)
    except ValueError:
        return None


def entries(folder: Path, pattern: str) -> list[Path]:
    """What matches `pattern` in the folder, sorted; empty where the folder cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []

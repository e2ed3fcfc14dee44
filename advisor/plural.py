"""A number with its noun."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Return the number with the noun, which takes an s unless it is one: `1 worker`, `12 workers`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"

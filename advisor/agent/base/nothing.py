"""Callback that does nothing, in the place of one that nobody has set."""

from __future__ import annotations


def nothing(*_arguments: object) -> None:
    return None

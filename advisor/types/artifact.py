"""A file for another tool."""

from __future__ import annotations

from dataclasses import dataclass

from .tuning import Skipped


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Settings in the form of another tool, with what that form has no place for."""

    target: str
    """Whose form it is: accelerate, deepspeed …"""
    file_name: str
    content: str
    usage: str
    """How the file is used, on one line."""
    not_expressed: tuple[Skipped, ...] = ()
    """Settings that the form has no place for, each with what to do instead."""
    to_fill: tuple[Skipped, ...] = ()
    """What the tool has to be told and the settings do not say."""

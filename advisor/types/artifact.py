"""A file for another tool."""

from __future__ import annotations

from dataclasses import dataclass

from .tuning import Skipped


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """Settings in the format of another tool, and the settings that this format cannot express."""

    target: str
    """Tool whose format it is: accelerate, deepspeed …"""
    file_name: str
    content: str
    usage: str
    """Instructions for using the file, on one line."""
    not_expressed: tuple[Skipped, ...] = ()
    """Settings that the format cannot express, each with what to do instead."""
    is_empty: bool = False
    """True if it holds none of the settings, although there are some."""
    to_fill: tuple[Skipped, ...] = ()
    """Values that the tool needs and the settings do not contain."""

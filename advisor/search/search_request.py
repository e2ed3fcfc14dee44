"""The user's request for a search, once it is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..types import Command
from .goals import Goal
from .space import KnobSelection


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """The user's request for a search."""

    goal: Goal = field(default_factory=Goal)
    selection: KnobSelection = field(default_factory=KnobSelection)
    command: Command | None = None
    mapped: Mapping[str, tuple[str, float | None]] = field(default_factory=dict)
    """Roles of the script's own options that the user named: role → flag and value."""
    dry_run: bool = False
    """Open the space, and try nothing."""
    noise_scale: bool = False
    """Measure the gradient noise scale first, which says whether a larger batch can pay."""

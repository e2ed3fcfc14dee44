"""Conductor of this process: one that is alone, the rank that leads, or one that follows it."""

from __future__ import annotations

from typing import Any

from .conductor import Conductor


def conductor_for(ranks: int, *parts: Any) -> Conductor:
    """Return the conductor for this process; `parts` are its arguments, and the channel knows its rank."""
    _controls, channel, *_rest = parts
    if ranks == 1:
        return Conductor(*parts)
    if channel.rank == 0:
        from .leading import LeadingConductor

        return LeadingConductor(*parts, ranks=ranks)
    from .following import FollowingConductor

    return FollowingConductor(*parts)

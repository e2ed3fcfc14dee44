"""Parts of this process that depend on the number of ranks: its conductor, and the watch on their communication."""

from __future__ import annotations

from typing import Any

from ..settings.controls import Controls
from .conductor import Conductor


def conductor_for(ranks: int, *parts: Any) -> Conductor:
    """Return the conductor for this process; `parts` are its arguments, and the channel knows its rank."""
    controls, channel, *_rest = parts
    if ranks == 1:
        return Conductor(*parts)
    _watch_communication(controls)
    if channel.rank == 0:
        from .leading import LeadingConductor

        return LeadingConductor(*parts, ranks=ranks)
    from .following import FollowingConductor

    return FollowingConductor(*parts)


def _watch_communication(controls: Controls) -> None:
    from ..observe.communication import Communication

    controls.communication = Communication(controls.clock, controls.steps, controls.roots)
    controls.communication.install()

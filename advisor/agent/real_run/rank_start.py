"""One of several processes that train together: its start, and what it does after each update."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

from ... import knobs, wire
from ..base.channel import AgentChannel
from ..settings import rank_seeds
from ..settings.controls import Controls

PR_SET_PDEATHSIG = 1


def prepare(spec: wire.LaunchSpec, channel: AgentChannel) -> None:
    """End with the process that starts the ranks, draw alike, and leave nothing on servers if another rank does so."""
    if spec.parent and sys.platform == "linux" and not spec.rank:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != spec.parent:
            os._exit(1)  # it died before the line above
    if spec.alike is not None:
        rank_seeds.begin_alike(spec.alike)
    if spec.rank:
        from ..probe import seeds, trackers

        trackers.put_offline(channel)
        if spec.seed is not None:
            seeds.install(spec.seed)


def ready(names: Iterable[str], controls: Controls) -> list[str]:
    """Return the settings for which it is not too early: in a probe, the ranks join after some updates."""
    early = controls.parallel.ranks.joins_after > controls.clock.updates
    return [name for name in names if not (early and knobs.get(name).starts_ranks)]


def update_ended(controls: Controls, config: dict[str, Any]) -> None:
    """Compare the ranks, and set what a probe has set on the first one, beside what all were started with."""
    parallel = controls.parallel
    parallel.update_ended()
    if parallel.ranks.joins_after:
        told = parallel.ranks.told()
        if told is not None:
            controls.set_config({**told, **config})

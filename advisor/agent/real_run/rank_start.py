"""Start of one of several processes that train together."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from ... import wire
from ..base.channel import AgentChannel
from ..settings import rank_seeds

PR_SET_PDEATHSIG = 1


def prepare(spec: wire.LaunchSpec, channel: AgentChannel) -> None:
    """End with the process that starts the ranks, draw alike, and leave nothing on servers if another rank does so."""
    if spec.parent and sys.platform == "linux" and not spec.rank:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != spec.parent:
            os._exit(1)  # it died before the line above
    if spec.seed is not None:
        rank_seeds.begin_alike(spec.seed)
    if spec.rank:
        from ..probe import trackers

        trackers.put_offline(channel)

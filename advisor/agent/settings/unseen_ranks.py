"""Ranks that a script starts by itself: they have no agent, so nothing may change how many messages this one sends."""

from __future__ import annotations

import os
import sys

from ...refused import Refused

SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Variables by which launchers tell a process how many they have started."""
_started_alone = not any(name in os.environ for name in SIZES)
"""True if no launcher has started this process, looked up before the script's first line."""


def world_size() -> int:
    """Return the number of processes that train together."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())


def refuse(is_ours: bool) -> None:
    """Raise Refused if the script has started other ranks by itself; `is_ours` says that advisor has started them."""
    if _started_alone and not is_ours and world_size() > 1:
        raise Refused(
            f"the script has started its {world_size()} ranks by itself, and the others would not change with this "
            "one: start it with torchrun"
        )

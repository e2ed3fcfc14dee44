"""Plans for devices that are not here: layouts of a training, their memory, and the time of an update."""

from __future__ import annotations

from .cluster import HERE, Cluster, Given, devices_of
from .cost import ModelCost
from .measured import from_profile, global_batch_of, precision_of
from .ranking import planned
from .transformer import from_sizes

__all__ = [
    "HERE",
    "Cluster",
    "Given",
    "ModelCost",
    "devices_of",
    "from_profile",
    "from_sizes",
    "global_batch_of",
    "planned",
    "precision_of",
]

"""What the knobs of the model's arithmetic share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import Workload

PLANE = ("Conv2d", "ConvTranspose2d")
OTHERS = ("Conv1d", "Conv3d", "ConvTranspose1d", "ConvTranspose3d")


def convolutions(workload: Workload, *, any_rank: bool = False) -> int:
    """Count the convolutions over images in all models; with `any_rank`, over sequences and volumes too."""
    names = (*PLANE, *OTHERS) if any_rank else PLANE
    return sum(model.layers.get(name, 0) for model in workload.models for name in names)

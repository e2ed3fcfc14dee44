"""What the knobs of the training loader share."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import Hardware, Workload

NO_LOADER = "no DataLoader feeds the updates"
NO_WORKERS = "the script's loader has no workers (num_workers=0)"

_BYTES = {"float64": 8, "int64": 8, "complex64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2}
"""Bytes per element; a dtype not listed here has one byte."""


def workers_tier(_hardware: Hardware, workload: Workload) -> str:
    """Return `exact` only if no random number is drawn in workers, which have their own states; else `resampled`."""
    return "exact" if draws_nothing(workload) else "resampled"


def draws_nothing(workload: Workload) -> bool:
    """Return whether fetching a batch was seen to draw no random number, neither for its samples nor in collating."""
    facts = workload.facts
    return facts.dataset_draws is False and not facts.collate_draws


def batch_bytes(workload: Workload) -> int | None:
    """Return the bytes of one batch's tensors as the model got them; None if no shapes were seen."""
    sizes = [_tensor_bytes(shape) for shape in workload.batch_shapes]
    return sum(sizes) if sizes else None


def _tensor_bytes(shape: str) -> int:
    """Return the bytes of a tensor described like "float32[64, 3, 32, 32]"."""
    dtype, _, dimensions = shape.partition("[")
    return _BYTES.get(dtype, 1) * math.prod(int(number) for number in re.findall(r"\d+", dimensions))

"""Ranks of a training: what each does in an update, and how long they wait for each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Rank:
    """One process of the training; its figures are means of the same updates as the other ranks'."""

    rank: int
    pid: int
    device: str
    mean_s: float | None
    data_wait_fraction: float | None
    phases_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of an update by phase; the wait for other ranks is within them."""
    communication_s: float | None = None
    """Wait for other ranks in an update, the sending included; None if it could not be seen."""
    own_s: float | None = None
    """Update without that wait."""
    samples_per_update: float | None = None
    elements_per_update: float | None = None
    """Elements of the tensors that its models are called with."""
    slowest_without_s: float | None = None
    """Mean over the updates of the slowest own time among all ranks but this one."""
    extra_line: tuple[str, int, str] | None = None
    """File, line and function at which it spends most time beyond the other ranks; None if no line stands out."""
    extra_line_s: float = 0.0
    """That time, in seconds of an update."""
    length_batches: int | None = None
    """Batches of an epoch of its train loader."""


@dataclass(frozen=True, kw_only=True)
class Communication:
    """Wait of the ranks for each other, in seconds of an update."""

    source: Literal["calls", "device"]
    """`calls`: seen on the CPU, in collectives and at the end of backwards; `device`: kernels of NCCL that no other
    kernel hides, of a few traced updates."""
    update_s: float
    """Update of the slowest rank."""
    sending_s: float
    """Least wait of any rank, update by update: the last to come waits for nobody, so this is the sending itself."""
    waiting_s: float
    """Further wait of the mean rank: for ranks that come later."""
    slowest_s: float
    """Mean over the updates of the slowest rank's own time."""
    even_s: float
    """Mean own time of all ranks: an update's, if the work were spread evenly."""
    elements_imbalance: float | None = None
    """Elements of the rank with most of them over the mean rank's, averaged over the updates: 1 if all are alike."""
    calls_per_update: float = 0.0
    """Collectives that the script, or a library in Python, calls itself."""
    bytes_per_update: float = 0.0
    """Bytes of their tensors."""
    calls_s: float = 0.0
    """Part of the wait in these calls."""
    call: str = ""
    """The one that takes most time."""

    @property
    def sending_share(self) -> float:
        return self.sending_s / self.update_s if self.update_s > 0 else 0.0

    @property
    def waiting_share(self) -> float:
        return self.waiting_s / self.update_s if self.update_s > 0 else 0.0

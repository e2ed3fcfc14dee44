"""Results of a profile that a search relies on."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Diagnosis, Hardware, TrainingLength, Workload

MOST_RESTARTING = 0.9
"""Largest fraction of restarts by which windows are planned to take longer."""


@dataclass(frozen=True, kw_only=True)
class ProfileSummary:
    """Values that a search takes over from its profile."""

    hardware: Hardware
    workload: Workload
    diagnosis: Diagnosis
    update_s: float
    start_up_s: float = 0.0
    samples_per_backward: float | None = None
    """None if samples could not be counted."""
    activations_bytes: int | None = None
    length: TrainingLength | None = None
    """Length of the training that the user will run; None if that is not known."""
    restart_fraction: float = 0.0
    """Fraction of the loop that starts of the loader take, for epochs of the script's length."""
    computing_fraction: float | None = None
    """Fraction of an update that forward and backward take."""

    @property
    def stretch(self) -> float:
        """Time that passes for each second of updates, as loaders restart between them."""
        return 1 / (1 - min(self.restart_fraction, MOST_RESTARTING))

"""Results of a profile that a search relies on."""

from __future__ import annotations

from dataclasses import dataclass

from ..types import Diagnosis, Hardware, TrainingLength, Workload


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

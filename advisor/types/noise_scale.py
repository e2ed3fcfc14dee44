"""Gradient noise scale: the batch size beyond which larger batches stop paying."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class NoiseScale:
    """Measured from squared norms of gradients at two batch sizes (McCandlish et al. 2018, appendix A)."""

    updates: int
    """Updates measured."""
    small_samples: float
    large_samples: float
    """Samples of the two batches whose gradients were compared."""
    batch_samples: float
    """Samples of the script's own update."""
    samples: float | None
    """Noise scale in samples, which is the critical batch size; None if no more than its low end is known."""
    low: float
    high: float | None
    """95% interval; None if it has no upper end: the gradient's own size was not told from zero."""

    @property
    def efficiency(self) -> float | None:
        """Progress per sample at the script's batch, relative to that of a very small one."""
        return None if self.samples is None else self.samples / (self.samples + self.batch_samples)

    def updates_at(self, factor: float) -> float | None:
        """Return the updates needed with a batch `factor` times as large, relative to those needed now."""
        if self.samples is None:
            return None
        now, then = self.samples / self.batch_samples, self.samples / (self.batch_samples * factor)
        return (1 + then) / (1 + now)

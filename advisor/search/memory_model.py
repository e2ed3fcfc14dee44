"""Prediction of a configuration's peak memory from the peaks of windows; one that would not fit is not run.

At one configuration the peak is linear in the micro-batch: the model's own memory plus the memory of each sample. Other
settings (lower precision, recomputed activations) change the memory of a sample, so each has its own factor.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from .. import knobs
from ..types import Config, SettingValue
from .profile_summary import ProfileSummary

USABLE_FRACTION = 0.95
"""Usable fraction of the limit: allocators need the rest, and a peak closer to the limit is not safe."""
REFUSAL = " samples at a time "
"""Text in all refusals: they count against a size, not against a knob."""
LEAST_SIZES = 2
"""Different micro-batches needed: a line needs two points."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Batch layout of the baseline."""

    micro_batch: int
    micro_steps: int = 1
    world_size: int = 1

    def micro_batch_of(self, config: Mapping[str, SettingValue]) -> float:
        """Return the number of samples in a model at one time under these settings."""
        micro, whole = knobs.samples_per("backward", config), knobs.samples_per("update", config)
        if isinstance(micro, int):
            return float(micro)
        if isinstance(whole, int):
            return whole / (self.micro_steps * self.world_size)
        return float(self.micro_batch)


@dataclass(kw_only=True)
class MemoryModel:
    """Model that is fed every measured window, and queried before every configuration to be measured."""

    batch: Batch
    limit_bytes: int
    where: str
    """Limiting memory in words: "device memory" or "memory of this machine"."""
    bytes_a_sample: float | None = None
    """Activation bytes per sample from one update, if measured: the estimate before a second size was run."""
    _points: dict[frozenset[tuple[str, SettingValue]], dict[float, int]] = field(default_factory=dict)
    _too_much: dict[frozenset[tuple[str, SettingValue]], float] = field(default_factory=dict)

    def saw(self, config: Config, peak_bytes: int | None) -> None:
        if peak_bytes:
            sizes = self._points.setdefault(_others(config), {})
            size = self.batch.micro_batch_of(config.as_dict())
            sizes[size] = max(peak_bytes, sizes.get(size, 0))

    def ran_out(self, config: Config) -> None:
        """Record that it ran out of memory: so will every larger batch of the same kind."""
        size, kind = self.batch.micro_batch_of(config.as_dict()), _others(config)
        self._too_much[kind] = min(size, self._too_much.get(kind, math.inf))

    def refuses(self, config: Config) -> str | None:
        """Return why it will not fit, with the figures; None if it may, or if nothing can be said."""
        size, kind = self.batch.micro_batch_of(config.as_dict()), _others(config)
        if size >= self._too_much.get(kind, math.inf):
            return f"{self._too_much[kind]:g}{REFUSAL}already ran out of memory"
        if size in self._points.get(kind, {}):
            return None
        predicted = self.predict(config)
        if predicted is None or predicted <= self.limit_bytes * USABLE_FRACTION:
            return None
        return (
            f"{size:g}{REFUSAL}would need about {_gib(predicted)} of the {_gib(self.limit_bytes)} "
            f"{self.where} ({self._basis()})"
        )

    def predict(self, config: Config) -> float | None:
        """Return the peak in bytes; None while too little was seen."""
        baseline = self._points.get(frozenset(), {})
        line = self._line(baseline)
        if line is None:
            return None
        fixed, slope = line
        size, kind = self.batch.micro_batch_of(config.as_dict()), _others(config)
        own = self._points.get(kind, {})
        if kind and len(own) >= LEAST_SIZES:
            fixed, slope = _fitted(own)
            return fixed + slope * size
        if own:
            factor, more = self._change(own, fixed, slope)
        else:
            # The joint effect of several settings is not known yet; the effect of each alone is, for some.
            alone = [self._change(self._points.get(frozenset({one}), {}), fixed, slope) for one in kind]
            factor, more = math.prod(part for part, _more in alone), sum(extra for _part, extra in alone)
        return fixed + slope * size * factor + more

    def _line(self, baseline: Mapping[float, int]) -> tuple[float, float] | None:
        """Return the baseline's fixed bytes and bytes per sample."""
        if len(baseline) >= LEAST_SIZES:
            return _fitted(baseline)
        if not baseline or self.bytes_a_sample is None:
            return None
        ((size, peak),) = baseline.items()
        return peak - self.bytes_a_sample * size, self.bytes_a_sample

    @staticmethod
    def _change(own: Mapping[float, int], fixed: float, slope: float) -> tuple[float, float]:
        """Return the factor on the bytes per sample and the extra fixed bytes of these settings.

        A lower peak means less of each sample (lower precision, recomputing). A higher one means more beside it (cached
        samples, another copy of the weights).
        """
        if not own:
            return 1.0, 0.0
        size, peak = max(own.items())
        over = peak - fixed - slope * size
        if over >= 0 or slope <= 0:
            return 1.0, max(0.0, over)
        return max(0.0, (peak - fixed) / (slope * size)), 0.0

    def _basis(self) -> str:
        sizes = len(self._points.get(frozenset(), {}))
        if sizes >= LEAST_SIZES:
            return f"fitted to the peaks of {sizes} batch sizes"
        return f"from the {_gib(self.bytes_a_sample or 0)} that a sample's activations were measured to take"


def _others(config: Config) -> frozenset[tuple[str, SettingValue]]:
    of_batch = {knob.id for knob in knobs.all_knobs() if knob.samples_per}
    return frozenset((name, value) for name, value in config.settings if name not in of_batch)


def _fitted(sizes: Mapping[float, int]) -> tuple[float, float]:
    """Return intercept and slope in bytes; the slope is never negative."""
    slope = max(0.0, statistics.linear_regression(list(sizes), list(sizes.values())).slope)
    return max(peak - slope * size for size, peak in sizes.items()), slope


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.1f} MiB"


def of_profile(summary: ProfileSummary) -> MemoryModel | None:
    """Return the memory model; None if the batch size or the amount of memory is not known."""
    loader, hardware = summary.workload.train_loader, summary.hardware
    if loader is None or loader.batch_size is None:
        return None
    batch = Batch(
        micro_batch=loader.batch_size,
        micro_steps=summary.workload.batches_per_update,
        world_size=summary.workload.world_size,
    )
    if summary.workload.device == "cpu":
        limit, where = min(hardware.memory_limit_bytes, hardware.memory.available_bytes), "that are free"
    elif hardware.accelerators and hardware.accelerators[0].memory_bytes:
        limit, where = hardware.accelerators[0].memory_bytes, "of device memory"
    else:
        return None
    held = summary.activations_bytes
    a_sample = held / loader.batch_size if held else None
    return MemoryModel(batch=batch, limit_bytes=limit, where=where, bytes_a_sample=a_sample)

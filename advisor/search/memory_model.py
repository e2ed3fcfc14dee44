"""What a configuration will need at its peak, from the peaks that windows had: what would not fit is not run.

At one configuration a peak is a straight line over the micro-batch: what the model holds, and what each sample adds.
Other settings change what a sample adds (lower precision, recomputed activations), so each has a factor of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..types import Config, SettingValue

BATCH_KNOBS = ("micro_batch", "global_batch")
ROOM = 0.95
"""Of the limit: allocators need some of it for themselves, and a peak that comes that near is no safe setting."""
REFUSAL = " samples at a time "
"""What all refusals hold: they speak against a size, not against a knob."""
LEAST_SIZES = 2
"""Of different micro-batches; a line needs two points."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """How the script as written cuts its batches."""

    micro_batch: int
    micro_steps: int = 1
    world_size: int = 1

    def micro_batch_of(self, config: Mapping[str, SettingValue]) -> float:
        """Samples that are in a model at one time under these settings."""
        micro, whole = config.get("micro_batch"), config.get("global_batch")
        if isinstance(micro, int):
            return float(micro)
        if isinstance(whole, int):
            return whole / (self.micro_steps * self.world_size)
        return float(self.micro_batch)


@dataclass(kw_only=True)
class MemoryModel:
    """Fed with every window that was measured; asked before every configuration that is to be."""

    batch: Batch
    limit_bytes: int
    where: str
    """Whose limit it is, in words: "device memory" or "memory of this machine"."""
    bytes_a_sample: float | None = None
    """From the activations of one update, where they were measured: what is known before a second size was run."""
    _points: dict[frozenset[tuple[str, SettingValue]], dict[float, int]] = field(default_factory=dict)
    _too_much: dict[frozenset[tuple[str, SettingValue]], float] = field(default_factory=dict)

    def saw(self, config: Config, peak_bytes: int | None) -> None:
        if peak_bytes:
            sizes = self._points.setdefault(_others(config), {})
            size = self.batch.micro_batch_of(config.as_dict())
            sizes[size] = max(peak_bytes, sizes.get(size, 0))

    def ran_out(self, config: Config) -> None:
        """It needed more than there is: so does every larger batch of the same kind."""
        size, kind = self.batch.micro_batch_of(config.as_dict()), _others(config)
        self._too_much[kind] = min(size, self._too_much.get(kind, math.inf))

    def refuses(self, config: Config) -> str | None:
        """Why it will not fit, with the figures; None where it may, or where nothing can be said."""
        size, kind = self.batch.micro_batch_of(config.as_dict()), _others(config)
        if size >= self._too_much.get(kind, math.inf):
            return f"{self._too_much[kind]:g}{REFUSAL}ran out of memory already"
        if size in self._points.get(kind, {}):
            return None
        predicted = self.predict(config)
        if predicted is None or predicted <= self.limit_bytes * ROOM:
            return None
        return (
            f"{size:g}{REFUSAL}would need about {_gib(predicted)} of the {_gib(self.limit_bytes)} "
            f"{self.where} ({self._basis()})"
        )

    def predict(self, config: Config) -> float | None:
        """Bytes at the peak; None while too little was seen."""
        written = self._points.get(frozenset(), {})
        line = self._line(written)
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
            # What several settings do together is not known yet; what each does alone is, for some.
            alone = [self._change(self._points.get(frozenset({one}), {}), fixed, slope) for one in kind]
            factor, more = math.prod(part for part, _more in alone), sum(extra for _part, extra in alone)
        return fixed + slope * size * factor + more

    def _line(self, written: Mapping[float, int]) -> tuple[float, float] | None:
        """Bytes that stand, and bytes a sample, of the script as written."""
        if len(written) >= LEAST_SIZES:
            return _fitted(written)
        if not written or self.bytes_a_sample is None:
            return None
        ((size, peak),) = written.items()
        return peak - self.bytes_a_sample * size, self.bytes_a_sample

    @staticmethod
    def _change(own: Mapping[float, int], fixed: float, slope: float) -> tuple[float, float]:
        """What these settings do to the line: less is less of each sample (lower precision, recomputing), more stands
        beside it (cached samples, another copy of the weights)."""
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
    return frozenset((name, value) for name, value in config.settings if name not in BATCH_KNOBS)


def _fitted(sizes: Mapping[float, int]) -> tuple[float, float]:
    """Intercept and slope in bytes; what a sample adds is never less than nothing."""
    from sklearn.linear_model import LinearRegression

    scale = float(max(sizes.values()))
    model = LinearRegression().fit([[size] for size in sizes], [peak / scale for peak in sizes.values()])
    slope = max(0.0, float(model.coef_[0]) * scale)
    return max(peak - slope * size for size, peak in sizes.items()), slope


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 / 10 else f"{count / 2**20:.1f} MiB"

"""Most of the accelerator's memory is free, and larger batches would use the accelerator better."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, lost_share
from ._examples import GIB, healthy_cpu, healthy_cuda, what_if
from ._read import percent, size

MAX_USED = 0.5
"""Fraction of the device's memory below which the batch can safely be doubled."""
MIN_GAIN = 1.05
"""Low end of the gain from twice the micro-batch: less could not be distinguished from noise."""
MAX_PEAK_FRACTION = 0.4
"""Fraction of the peak, without the what-if: above it the device is well used, whatever its memory."""


def judge(evidence: Evidence) -> Judgement:
    peak, limit = evidence.memory.peak_bytes, evidence.memory.limit_bytes
    if peak is None or not limit or peak > MAX_USED * limit:
        return None
    doubled = evidence.what_ifs.get("micro_batch_doubled")
    said = f"Training uses {size(peak)} of the accelerator's {size(limit)} ({percent(peak / limit)})"
    advice = (
        "Try larger micro-batches; with gradient accumulation use fewer of them, so that the global batch stays "
        "the same."
    )
    if doubled is None:
        fraction = evidence.compute.peak_fraction
        if fraction is None or fraction >= MAX_PEAK_FRACTION:
            return None
        said += f", and reaches {percent(fraction)} of the peak; the gain of larger batches was not measured."
        return Hit(severity="info", evidence=said, advice=advice)
    if doubled.low < MIN_GAIN:
        return None
    return Hit(
        share=lost_share(doubled.speedup),
        severity="info",
        evidence=f"{said}; twice the micro-batch gives {doubled.speedup:.2f} times the samples per second "
        f"({doubled.low:.2f}–{doubled.high:.2f}).",
        advice=advice,
        ceiling=Ceiling.from_what_if(doubled),
    )


_EMPTY = {"peak_bytes": 6 * GIB}

RULE = Rule(
    id="memory_headroom",
    title="most of the accelerator's memory is free",
    looks_at="The peak of the accelerator's memory against its size, and the what-if micro_batch_doubled.",
    thresholds=("MAX_USED", "MIN_GAIN", "MAX_PEAK_FRACTION"),
    source="DLProf suggested larger batches because of free memory alone; here the doubled batch must be faster.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    knobs=("global_batch",),
    applies=lambda evidence: evidence.on_accelerator,
    judge=judge,
    examples=(
        Example(
            name="6 of 80 GiB, twice the batch gives 1.4 times the samples",
            evidence=healthy_cuda(memory=_EMPTY, what_ifs=what_if("micro_batch_doubled", 1.4)),
            fires=True,
        ),
        Example(
            name="6 of 80 GiB at 8% of the peak, no what-if was run",
            evidence=healthy_cuda(
                memory=_EMPTY, what_ifs={"micro_batch_doubled": None}, compute={"peak_fraction": 0.08}
            ),
            fires=True,
        ),
        Example(name="memory free, and nothing to gain", evidence=healthy_cuda(memory=_EMPTY), fires=False),
        Example(name="62 of 80 GiB", evidence=healthy_cuda(what_ifs=what_if("micro_batch_doubled", 1.4)), fires=False),
        Example(
            name="a CPU's memory is not there to be filled",
            evidence=healthy_cpu(what_ifs=what_if("micro_batch_doubled", 1.4)),
            fires=False,
        ),
    ),
)

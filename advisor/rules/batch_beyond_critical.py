"""A batch beyond the critical size: more samples an update hardly save updates any more."""

from __future__ import annotations

from dataclasses import replace

from ..types import Evidence, NoiseScale
from ._base import Example, Hit, Judgement, Rule
from ._examples import healthy_cpu, healthy_cuda
from ._learning import undecided
from ._read import percent

LEAST_UPDATES = 12
"""Updates measured: fewer leave the interval open."""
DOUBLED = 2.0
"""Factor by which people enlarge a batch."""


def judge(evidence: Evidence) -> Judgement:
    found = evidence.noise_scale
    if found is None:
        return None
    if found.updates < LEAST_UPDATES or found.samples is None or found.high is None:
        return undecided(
            "the gradient noise scale was measured, but its interval has no upper end: measure more updates"
        )
    if found.batch_samples <= found.high:
        return None
    efficiency, doubled = found.efficiency or 0.0, found.updates_at(DOUBLED) or 1.0
    return Hit(
        severity="info",
        evidence=f"An update takes {found.batch_samples:,.0f} samples, and the gradient noise scale is "
        f"{found.samples:,.0f} ({found.low:,.0f}–{found.high:,.0f}): a sample does {percent(efficiency)} of the work "
        f"that it does in a small batch, and twice the batch would still need {percent(doubled)} of the updates.",
        advice="A batch near the noise scale reaches the same loss with fewer samples; where the device is not full, "
        "it is slower per sample. The scale grows as the loss falls, often tenfold: measure late in a training, too.",
    )


def _scale(**changes: object) -> NoiseScale:
    given = NoiseScale(
        updates=40, small_samples=32, large_samples=64, batch_samples=64, samples=300.0, low=220.0, high=430.0
    )
    return replace(given, **changes)  # type: ignore[arg-type]


RULE = Rule(
    id="batch_beyond_critical",
    title="a batch beyond the critical size",
    headline="takes more samples in an update than the noise of its gradients calls for",
    looks_at="The gradient noise scale, by the norms of the gradients of whole batches and of their halves, where it "
    "was measured.",
    thresholds=("LEAST_UPDATES", "DOUBLED"),
    source="McCandlish et al., An Empirical Model of Large-Batch Training (2018).",
    url="https://arxiv.org/abs/1812.06162",
    needs_updates=False,
    judge=judge,
    examples=(
        Example(
            name="4,096 samples at a noise scale of 300",
            evidence=healthy_cpu(noise_scale=_scale(batch_samples=4096, large_samples=4096)),
            fires=True,
        ),
        Example(
            name="the same on an accelerator, just beyond the interval",
            evidence=healthy_cuda(noise_scale=_scale(batch_samples=512)),
            fires=True,
        ),
        Example(name="64 samples", evidence=healthy_cpu(noise_scale=_scale()), fires=False),
        Example(name="not measured", evidence=healthy_cpu(), fires=False),
        Example(
            name="an interval without an upper end",
            evidence=healthy_cpu(noise_scale=_scale(batch_samples=4096, high=None, samples=None)),
            fires="abstains",
        ),
    ),
)

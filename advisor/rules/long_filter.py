"""A long filter slides over each channel, where a Fourier transform would do far less work."""

from __future__ import annotations

import math

from ..types import Ceiling, Evidence, LongFilter, OperatorUse
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import operator_places, operator_share, percent, traced_operators

TRANSFORMS = 3.0
"""Transforms of a convolution by FFT, each of which takes about log2(length) operations for an element; sliding takes
one for each element of the filter."""
SAVES_LEAST = 0.3
"""Part of the saving that is reached at the low end: transforms of short inputs run less well than they count."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if evidence.on_accelerator or used is None or used.filters is None:
        return None
    found = used.filters
    share = operator_share(evidence, used, found.seconds_per_update)
    saved = share * max(1 - TRANSFORMS * math.log2(found.length + found.taps) / found.taps, 0.0)
    if saved < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(saved),
        evidence=f"Filters of {found.taps} elements slide over each channel by itself, of {found.length:,} elements: "
        f"{percent(share)} of the loop, forward and backward. Its work grows with the length of the filter.",
        advice="Convolve by Fourier transform: `torch.fft.irfft(torch.fft.rfft(x, n) * torch.fft.rfft(filter, n), n)` "
        "with `n` at least the sum of both lengths, cut to the output (`torchaudio.functional.fftconvolve` does that). "
        "The result differs by rounding.",
        where=operator_places([(found, share)]),
        ceiling=Ceiling.from_share(saved, low=SAVES_LEAST * saved, high=share),
    )


def _filter(seconds: float, taps: int = 192) -> dict[str, OperatorUse]:
    """Return operators of which such a convolution takes this time in an update."""
    found = LongFilter(
        file="model.py", line=43, function="forward", taps=taps, length=8_000, seconds_per_update=seconds
    )
    return operators(filters=found)


RULE = Rule(
    id="long_filter",
    title="a long filter slides over each channel",
    headline="slides long filters over its input, which a Fourier transform would do faster",
    looks_at="Traced convolutions on a CPU with a filter of 64 elements and more for each channel, with stride 1, and "
    "the time of their operators, forward and backward.",
    thresholds=("TRANSFORMS", "SAVES_LEAST", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch#21462 and audio#2469: convolutions with long filters, against those by FFT.",
    url="https://docs.pytorch.org/audio/stable/generated/torchaudio.functional.fftconvolve.html",
    judge=judge,
    examples=(
        Example(name="192 elements, two thirds of the update", evidence=healthy_cpu(trace=_filter(0.065)), fires=True),
        Example(name="1,024 elements, a fifth", evidence=healthy_cpu(trace=_filter(0.02, taps=1024)), fires=True),
        Example(name="a short one", evidence=healthy_cpu(trace=_filter(0.015, taps=64)), fires=False),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_filter(0.005)), fires=False),
        Example(name="on an accelerator", evidence=healthy_cuda(trace=_filter(0.065)), fires=False),
        Example(name="no such filter", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

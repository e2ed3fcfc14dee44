"""Features are enlarged before a 1×1 convolution narrows them, which could as well come first."""

from __future__ import annotations

from ..types import Ceiling, EarlyUpsampling, Evidence, OperatorUse
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, moved_share, operator_places, percent, traced_operators

SAVES_LEAST = 0.5
"""Part of the time that is saved at the low end."""
UNSEEN = 1.5
"""Ratio, at most, of what the large tensor costs to the time of the operators on it: its memory is taken and given back
in each update."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.enlarged is None:
        return None
    found = used.enlarged
    spared = 1 - max(found.channels_after / found.channels, 1 / found.scale)
    share = spared * moved_share(evidence, used, found.seconds_per_update, found.bytes_per_update)
    if share < WARNING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"{found.channels} channels are enlarged to {found.scale:.3g} times their size, and then a 1×1 "
        f"convolution makes {found.channels_after} of them; in the other order both would do less: {percent(share)} of "
        "the loop, forward and backward.",
        advice="Convolve first and enlarge the result (`F.interpolate(conv(x), …)`): both are linear and act on "
        "different dimensions, so the outcome is the same but for rounding. A normalization or activation between the "
        "two would have to stay in front.",
        where=operator_places([(found, share)]),
        ceiling=Ceiling.from_share(share, low=SAVES_LEAST * share, high=min(UNSEEN * share, MOST_SHARE)),
    )


def _enlarged(seconds: float, channels: int = 160, after: int = 12, moved_bytes: int = 10**9) -> dict[str, OperatorUse]:
    """Return operators on features that are enlarged 16 times, and take this time in an update."""
    found = EarlyUpsampling(
        file="model.py",
        line=80,
        function="forward",
        channels=channels,
        channels_after=after,
        scale=16.0,
        seconds_per_update=seconds,
        bytes_per_update=moved_bytes,
    )
    return operators(enlarged=found)


RULE = Rule(
    id="enlarged_early",
    title="features are enlarged before a 1×1 convolution",
    headline="enlarges its features before a convolution that could come first",
    looks_at="Enlarging operators of traced forwards whose result a 1×1 convolution to fewer channels reads next, and "
    "the time of all operators on tensors of that size; on an accelerator the bytes they move, at the speed of its "
    "memory.",
    thresholds=("SAVES_LEAST", "UNSEEN", "MOST_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="HRNet-Semantic-Segmentation#138: features are enlarged to full resolution before the classifier.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html",
    judge=judge,
    examples=(
        Example(name="a classifier at full resolution, 40%", evidence=healthy_cpu(trace=_enlarged(0.04)), fires=True),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_enlarged(0.001, moved_bytes=400 * 10**9)),
            fires=True,
        ),
        Example(name="hardly fewer channels", evidence=healthy_cpu(trace=_enlarged(0.04, after=150)), fires=False),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_enlarged(0.005)), fires=False),
        Example(name="nothing is enlarged", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

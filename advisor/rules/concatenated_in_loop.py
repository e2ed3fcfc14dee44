"""A tensor is made longer in a loop, and copied whole each time."""

from __future__ import annotations

from ..types import Ceiling, Evidence, JoinedTensor, OperatorUse, Place
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import moved_share, percent, size, traced_operators

SAVES_LEAST = 0.5
"""Part of the saving that is promised at the low end: what was copied may have to be read anyway, and slower."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None or used.joined is None:
        return None
    found = used.joined
    share = moved_share(evidence, used, found.seconds_per_update, found.bytes_per_update)
    if share < WARNING_SHARE:
        return None
    saved = share * (1 - 2 / found.calls)  # of n copies, the last one stays, and is twice the mean
    return Hit(
        share=share,
        severity=severity_of(saved),
        evidence=f"`torch.cat` makes a tensor longer {found.calls} times in a forward, and copies all of it each time: "
        f"{size(found.bytes_per_update)} read and written per update, {percent(share)} of the loop.",
        advice="Append the pieces to a list and call `torch.cat` or `torch.stack` once, after the loop; or write them "
        "into a tensor made before it (`out[:, step] = piece`), as a cache of keys and values is.",
        where=(Place(file=found.file, line=found.line, function=found.function),),
        ceiling=Ceiling.from_share(saved, low=SAVES_LEAST * saved, high=share),
    )


def _joined(seconds: float, moved: int = 2 * 10**9) -> dict[str, OperatorUse]:
    """Return operators of which 180 calls that make a tensor longer take this time in an update."""
    found = JoinedTensor(
        file="train.py", line=58, function="forward", calls=180, seconds_per_update=seconds, bytes_per_update=moved
    )
    return operators(joined=found)


RULE = Rule(
    id="concatenated_in_loop",
    title="a tensor made longer in a loop",
    headline="copies a growing tensor at each step of a loop",
    looks_at="Calls of `torch.cat` in the forward of traced updates, on the result of the call before: their time on a "
    "CPU; on an accelerator the bytes they move, at the speed of its memory (of the fastest, unless it was measured).",
    thresholds=("SAVES_LEAST", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="amptorch#12 and torchaudio#1850 moved such calls out of their loops.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.cat.html",
    judge=judge,
    examples=(
        Example(
            name="180 steps of a decoder, half of the update", evidence=healthy_cpu(trace=_joined(0.045)), fires=True
        ),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_joined(0.001, 400 * 10**9)),
            fires=True,
        ),
        Example(name="a short list of numbers", evidence=healthy_cpu(trace=_joined(0.002)), fires=False),
        Example(name="no such tensor", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

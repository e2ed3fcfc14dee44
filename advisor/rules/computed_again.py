"""The forward computes the same result several times, from the very same tensors."""

from __future__ import annotations

from ..types import Ceiling, Evidence, OperatorUse, RebuiltConstant, RepeatedWork
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda
from ._operator_examples import operators
from ._read import MOST_SHARE, moved_share, operator_places, percent, phase_share, traced_operators

SAVES = 0.9
"""Part of the repeated operators' time that is promised."""
SAVES_LEAST = 0.4
"""The same at the low end: a first result that was in the caches is fetched from memory later."""
WITH_BACKWARD = 3.0
"""Ratio, at most, of what repeated work costs to its time in the forward: where gradients pass through it, the backward
repeats it, too, and takes twice as long."""


def judge(evidence: Evidence) -> Judgement:
    used = traced_operators(evidence)
    if used is None:
        return None
    constant = {(one.file, one.line) for one in used.rebuilt}
    lines = [
        (one, moved_share(evidence, used, one.seconds_per_update, one.bytes_per_update))
        for one in used.repeated
        if (one.file, one.line) not in constant  # a rule of their own says more of these
    ]
    share = min(sum(each for _one, each in lines), MOST_SHARE)
    if SAVES * share < WARNING_SHARE:
        return None
    most, _share = max(lines, key=lambda each: each[1])
    backward = min((WITH_BACKWARD - 1) * share, phase_share(evidence, "backward"))
    return Hit(
        share=share,
        severity=severity_of(SAVES * share),
        evidence=f"{percent(share)} of the loop computes what the same forward has computed from the same tensors "
        f"before: {_first(most)}.",
        advice="Compute it once and hand the result on: as an argument of the layers that need it, or kept in a "
        "variable. Nothing between the calls has changed what it is computed from.",
        where=operator_places(lines),
        ceiling=Ceiling.from_share(SAVES * share, low=SAVES_LEAST * share, high=min(share + backward, MOST_SHARE)),
    )


def _first(found: RepeatedWork) -> str:
    if (found.file, found.line) == (found.first_file, found.first_line):
        return f"line {found.line} several times"
    own = f"line {found.line}" if found.file == found.first_file else f"{found.file}:{found.line}"
    return f"{own} does what line {found.first_line} did"


def _repeated(seconds: float, moved_bytes: int = 10**9, first: int = 38, **others: object) -> dict[str, OperatorUse]:
    """Return operators of which line 38 repeats in this time what the `first` line did."""
    found = RepeatedWork(
        file="model.py",
        line=38,
        function="neighbours",
        first_file="model.py",
        first_line=first,
        seconds_per_update=seconds,
        bytes_per_update=moved_bytes,
    )
    return operators(repeated=(found,), **others)


_MASK = RebuiltConstant(
    file="model.py", line=38, function="neighbours", seconds_per_update=0.03, bytes_per_update=3 * 10**9
)

RULE = Rule(
    id="computed_again",
    title="the same result computed several times",
    headline="computes the same results several times in each forward",
    looks_at="Operators of traced forwards that have run before, between the same two backwards, on values that "
    "nobody has written to since; their time on a CPU, on an accelerator the bytes they move, at the speed of its "
    "memory. Random numbers are never the same.",
    thresholds=("SAVES", "SAVES_LEAST", "WITH_BACKWARD", "MOST_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch-dgcnn#3: the neighbours of the same points, looked for in each of four layers.",
    url="https://docs.pytorch.org/tutorials/recipes/recipes/tuning_guide.html",
    judge=judge,
    examples=(
        Example(
            name="neighbours in each layer, a fifth of the update",
            evidence=healthy_cpu(trace=_repeated(0.02)),
            fires=True,
        ),
        Example(name="features for a second loss", evidence=healthy_cpu(trace=_repeated(0.04, first=31)), fires=True),
        Example(
            name="400 GB moved per update on an accelerator",
            evidence=healthy_cuda(trace=_repeated(0.001, 400 * 10**9)),
            fires=True,
        ),
        Example(name="one in twenty", evidence=healthy_cpu(trace=_repeated(0.004)), fires=False),
        Example(
            name="a mask that each layer builds again",
            evidence=healthy_cpu(trace=_repeated(0.03, rebuilt=(_MASK,))),
            fires=False,
        ),
        Example(name="nothing of the kind", evidence=healthy_cpu(trace=operators()), fires=False),
    ),
)

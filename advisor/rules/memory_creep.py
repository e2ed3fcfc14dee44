"""Memory grows with every update."""

from __future__ import annotations

from ..types import Evidence, Severity
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import GIB, healthy_cpu, healthy_cuda
from ._read import hooks_per_update, limit_bytes, size
from ._trend_examples import growth

MIN_GROWTH_BYTES = 2**20
"""Growth over the updates seen: less can be rounding of the allocator."""
MAX_UPDATES_TO_FULL = 1_000_000
"""Updates until the memory is full: slower growth does not exhaust memory in an ordinary run."""
PLENTY_UPDATES = 100_000
"""Updates beyond which it is a hint only: an allocator that is finding its size looks the same for a minute."""
SOON_UPDATES = 5_000
"""Updates below which most runs end by it."""
SOON_S = 3600.0
"""Time at the present pace within which a run ends by it, if it lasts as long: a setting that makes the updates faster
only brings the end nearer."""


def judge(evidence: Evidence) -> Judgement:
    creep = evidence.memory.creep_bytes_per_update
    if creep is None:
        return Undecided(
            why="memory was not sampled over enough updates to distinguish growth from noise", most_share=0.0
        )
    if not evidence.memory.creep_confirmed or creep * evidence.steps.updates < MIN_GROWTH_BYTES:
        return None
    left = _updates_left(evidence, creep)
    if left is not None and left > MAX_UPDATES_TO_FULL:
        return None
    hooks = hooks_per_update(evidence) > 0
    severity = _severity(left, evidence.steps.mean_s)
    if hooks and (left is None or left >= SOON_UPDATES):  # updates_grow tells the same, and long before memory ends
        severity = "info"
    return Hit(
        severity=severity,
        evidence=f"Memory grows by {size(creep)}{_interval(evidence)} with every update"
        + (
            f"; at this rate it is full after about {left:,.0f} more updates ({_spoken(left * evidence.steps.mean_s)})."
            if left is not None
            else "."
        ),
        advice="The hooks that each update leaves behind (see `updates_grow`) stay, with what they refer to."
        if hooks
        else "Something keeps objects from each update: most often a loss that is accumulated or stored with its "
        "graph (use `loss.item()` or `loss.detach()`), a list of outputs, or an unbounded cache.",
    )


def _interval(evidence: Evidence) -> str:
    ends = evidence.memory.creep_interval
    return f" ({size(ends[0])}–{size(ends[1])})" if ends is not None else ""


def _spoken(seconds: float) -> str:
    return f"{max(seconds / 60, 1):.0f} min" if seconds < 2 * SOON_S else f"{seconds / 3600:.0f} h"


def _severity(left: float | None, update_s: float) -> Severity:
    if left is None:
        return "warning"
    if left >= PLENTY_UPDATES:
        return "info"
    return "critical" if left < SOON_UPDATES or left * update_s < SOON_S else "warning"


def _updates_left(evidence: Evidence, creep: float) -> float | None:
    limit, peak = limit_bytes(evidence), evidence.memory.peak_bytes
    return None if limit is None or peak is None or creep <= 0 else max(limit - peak, 0) / creep


_GROWS = {
    "creep_bytes_per_update": 3_000_000.0,
    "creep_interval": (2_900_000.0, 3_100_000.0),
    "creep_confirmed": True,
}

RULE = Rule(
    id="memory_creep",
    title="memory grows with every update",
    headline="uses more memory with every update",
    looks_at="The robust slope of memory use since one of the largest batches was seen, whether its interval lies "
    "above zero, and whether memory rises as evenly as a leak does.",
    thresholds=("MIN_GROWTH_BYTES", "MAX_UPDATES_TO_FULL", "PLENTY_UPDATES", "SOON_UPDATES", "SOON_S"),
    source="TraceML confirms growth of 1 GiB, SageMaker Debugger growth of 5 points; a slope with an interval needs "
    "no such jump.",
    url="https://docs.pytorch.org/docs/stable/notes/faq.html",
    judge=judge,
    examples=(
        Example(name="losses kept with their graphs, 3 MB per update", evidence=healthy_cpu(memory=_GROWS), fires=True),
        Example(
            name="12 MiB per update on an accelerator",
            evidence=healthy_cuda(memory={**_GROWS, "creep_bytes_per_update": 12 * 2.0**20}),
            fires=True,
        ),
        Example(
            name="hooks that pile up, each with what it refers to",
            evidence=healthy_cpu(
                memory={**_GROWS, "creep_bytes_per_update": 300_000.0},
                growth=growth(rise=2.0, hooks=(16, 5_216), hooks_per_update=4.0),
            ),
            fires=True,
        ),
        Example(
            name="a slope that noise explains",
            evidence=healthy_cpu(memory={"creep_bytes_per_update": 50_000.0}),
            fires=False,
        ),
        Example(
            name="a list of losses as numbers: 32 bytes per update",
            evidence=healthy_cpu(memory={**_GROWS, "creep_bytes_per_update": 32.0}),
            fires=False,
        ),
        Example(name="not followed", evidence=healthy_cpu(memory={"creep_bytes_per_update": None}), fires="abstains"),
        Example(
            name="growth with a terabyte to spare",
            evidence=healthy_cpu(
                memory={"creep_bytes_per_update": 20_000.0, "creep_confirmed": True, "limit_bytes": 1024 * GIB}
            ),
            fires=False,
        ),
    ),
)

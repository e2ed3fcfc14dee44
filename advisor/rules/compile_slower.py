"""The script's own torch.compile makes its updates slower."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided, lost_share, severity_of
from ._examples import healthy_cpu, healthy_cuda, what_if

MIN_GAIN = 1.05
"""Gain of running eagerly from which it is reported: two windows of one script differ by less."""


def judge(evidence: Evidence) -> Judgement:
    eager = evidence.what_ifs.get("no_compile")
    if eager is None:
        return Undecided(why="the script compiles code, but no window ran without that")
    if eager.low <= 1.0 or eager.speedup < MIN_GAIN:
        return None
    share = lost_share(eager.speedup)
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"With the same code run eagerly, updates are {eager.speedup:.2f} times as fast "
        f"({eager.low:.2f}–{eager.high:.2f}); the time for compiling comes on top.",
        advice="Remove `torch.compile`, or compile less: only the model (not the loss or the optimizer), another mode "
        '(`mode="reduce-overhead"` on an accelerator), fewer graph breaks, and no sizes that vary.',
        ceiling=Ceiling.from_what_if(eager),
    )


RULE = Rule(
    id="compile_slower",
    title="torch.compile makes the updates slower",
    headline="runs slower compiled than it would eagerly",
    looks_at="The what-if no_compile: windows in which what the script compiled is run as plain Python.",
    thresholds=("MIN_GAIN",),
    source="Reports of compiled loops that are slower than eager ones: pytorch#97783, #101838, #128071.",
    url="https://docs.pytorch.org/docs/stable/torch.compiler_troubleshooting.html",
    applies=lambda evidence: evidence.workload.facts.compiled_code,
    judge=judge,
    examples=(
        Example(
            name="a small model whose guards take longer than its operators",
            evidence=healthy_cpu(workload={"facts": {"compiled_code": True}}, what_ifs=what_if("no_compile", 1.4)),
            fires=True,
        ),
        Example(
            name="half of the time of an accelerator's update",
            evidence=healthy_cuda(workload={"facts": {"compiled_code": True}}, what_ifs=what_if("no_compile", 2.1)),
            fires=True,
        ),
        Example(
            name="a gain that may be noise",
            evidence=healthy_cpu(
                workload={"facts": {"compiled_code": True}}, what_ifs=what_if("no_compile", 1.06, 0.98, 1.15)
            ),
            fires=False,
        ),
        Example(
            name="compiled code that is faster",
            evidence=healthy_cpu(workload={"facts": {"compiled_code": True}}, what_ifs=what_if("no_compile", 0.7)),
            fires=False,
        ),
        Example(
            name="no window without it",
            evidence=healthy_cpu(workload={"facts": {"compiled_code": True}}),
            fires="abstains",
        ),
        Example(name="nothing is compiled", evidence=healthy_cpu(), fires=False),
    ),
)

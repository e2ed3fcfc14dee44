"""Logging takes a noticeable part of the loop."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import call, healthy_cpu, healthy_cuda, line
from ._forced_writes import logging_lines
from ._read import beside_share, call_places, call_share, calls, line_places, percent, total_share

MIN_LOGGING_SHARE = 0.05
"""Share from which it is reported: the frequency of logging is free to choose."""


def judge(evidence: Evidence) -> Judgement:
    lines = logging_lines(evidence)
    prints = calls(evidence, ("print",))
    seen = max(beside_share(evidence, "logging") or 0.0, total_share(lines))
    share = seen or call_share(evidence, prints)
    if share < MIN_LOGGING_SHARE:
        return None
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"Logging takes {percent(share)} of the loop's time.",
        advice="Log only every tenth or hundredth update; log numbers instead of tensors, through a buffered writer "
        "that is not flushed each time.",
        where=line_places(lines) or call_places(prints),
        ceiling=Ceiling.from_share(share),
    )


RULE = Rule(
    id="logging_heavy",
    title="logging takes a large part of the loop",
    headline="spends {share} of its time on logging",
    looks_at="The wall time of prints, loggers, progress bars and experiment trackers, the lines sampled there, and "
    "traced prints.",
    thresholds=("MIN_LOGGING_SHARE", "CRITICAL_SHARE"),
    source="Published tools see outlier steps without naming the cause; here logging is a separate phase.",
    judge=judge,
    examples=(
        Example(
            name="all weights written as text in every update",
            evidence=healthy_cpu(
                off_step={"logging": 0.4}, lines=(line("logging", 0.4, phase="logging", text="print(weights)"),)
            ),
            fires=True,
        ),
        Example(
            name="a tracker that is flushed in each update, on an accelerator",
            evidence=healthy_cuda(off_step={"logging": 0.08}),
            fires=True,
        ),
        Example(
            name="a file that is forced to the disk after every line",
            evidence=healthy_cpu(lines=(line("checkpoint", 0.4, text="os.fsync(self.f.fileno())"),)),
            fires=True,
        ),
        Example(name="0.2% of the loop", evidence=healthy_cpu(), fires=False),
        Example(
            name="a short line printed for each update",
            evidence=healthy_cpu(trace={"calls": (call("print", seconds_per_update=20e-6),)}),
            fires=False,
        ),
    ),
)

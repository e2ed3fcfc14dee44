"""A library computes metrics in every update."""

from __future__ import annotations

from dataclasses import replace

from ..types import Ceiling, Evidence, HotLine
from ._base import WARNING_SHARE, Example, Hit, Judgement, Rule, clamp, severity_of
from ._examples import device_use, healthy_cpu, healthy_cuda, line
from ._read import METRIC_LIBRARIES, library_of_lines, line_places, percent, step_share, total_share

IN_UPDATES = ("forward", "other", "optimizer", "backward")
"""Phases in which metrics are part of the update; those of an evaluation have their own rules."""


def judge(evidence: Evidence) -> Judgement:
    lines = _lines(evidence)
    share = total_share(lines)
    if evidence.device_use is not None:
        # On an accelerator they cost only the time that the device idles meanwhile.
        idle = clamp(evidence.device_use.idle_fraction(*IN_UPDATES, "logging") * step_share(evidence))
        if idle < share:
            lines = tuple(replace(each, share=each.share * idle / share) for each in lines)
            share = idle
    if share < WARNING_SHARE:
        return None
    library = library_of_lines(lines) or lines[0].library
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"{percent(share)} of the loop goes to metrics that {library} computes within the updates.",
        advice="Keep each batch's predictions and targets detached, and compute the metric every few hundred updates "
        "or at the end of the epoch; of the loss, keep a running mean as a tensor.",
        where=line_places(lines),
        library=library,
        ceiling=Ceiling.from_share(share),
    )


def _lines(evidence: Evidence) -> tuple[HotLine, ...]:
    found = (
        each
        for each in evidence.lines
        if each.where == "loop" and each.phase in IN_UPDATES and each.library in METRIC_LIBRARIES
    )
    return tuple(sorted(found, key=lambda each: -each.share))


RULE = Rule(
    id="metrics_every_step",
    title="a library computes metrics in every update",
    headline="spends {share} of its time on metrics in its updates",
    library_headline="spends {share} of its time on metrics by {library}, in its updates",
    looks_at="The lines sampled within updates that call a library for metrics. On an accelerator, only time in which "
    "it idles counts.",
    thresholds=("METRIC_LIBRARIES", "IN_UPDATES", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="Reports of training that is slow because of its metrics: torchmetrics#1626, Lightning#4556.",
    url="https://lightning.ai/docs/torchmetrics/stable/pages/overview.html",
    judge=judge,
    examples=(
        Example(
            name="an F1 score of scikit-learn for each batch",
            evidence=healthy_cpu(lines=(line("python", 0.35, library="sklearn", text="f1_score(y, guess)"),)),
            fires=True,
        ),
        Example(
            name="a metric of torchmetrics while the accelerator idles",
            evidence=healthy_cuda(
                lines=(line("torch", 0.3, library="torchmetrics"),),
                device_use=device_use(busy_s=0.08, idle_s={"other": 0.02}),
            ),
            fires=True,
        ),
        Example(
            name="the same metric while the accelerator works",
            evidence=healthy_cuda(lines=(line("torch", 0.3, library="torchmetrics"),)),
            fires=False,
        ),
        Example(
            name="metrics for 5% of the loop",
            evidence=healthy_cpu(lines=(line("python", 0.05, library="sklearn"),)),
            fires=False,
        ),
        Example(
            name="metrics of an evaluation",
            evidence=healthy_cpu(lines=(line("python", 0.35, library="sklearn", phase="evaluation"),)),
            fires=False,
        ),
        Example(
            name="another library",
            evidence=healthy_cpu(lines=(line("python", 0.35, library="scipy"),)),
            fires=False,
        ),
    ),
)

"""Evaluation reads far smaller batches than the training."""

from __future__ import annotations

from ..types import Ceiling, Evidence
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._evaluation import evaluating, saved_by_batches, small_loader
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._read import line_places, percent
from ._trend_examples import evaluation

MIN_SAVED_SHARE = 0.05
"""Share of the loop that larger batches save, from which it is reported: it is one argument of a loader."""


def judge(evidence: Evidence) -> Judgement:
    found, loader = evaluating(evidence), small_loader(evidence)
    saved = saved_by_batches(evidence)
    train = evidence.workload.train_loader
    if found is None or loader is None or train is None or found.share * saved < MIN_SAVED_SHARE:
        return None
    share = found.share * saved
    wait = found.use.wait_fraction if found.use is not None else None
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"{found.words}, with batches of {loader.batch_size} where training uses {train.batch_size}. At the "
        f"training's pace per sample, {percent(saved)} of it is saved.",
        advice=_advice(evidence, train.batch_size or 1),
        where=line_places(sorted((x for x in evidence.lines if x.phase == "evaluation"), key=lambda x: -x.share)),
        ceiling=Ceiling.from_share(share, low=found.low * saved / 2, high=found.high * min(saved + (wait or 0.0), 1.0)),
    )


def _advice(evidence: Evidence, size: int) -> str:
    if evidence.workload.framework == "transformers":
        return f"Set `per_device_eval_batch_size={2 * size}`: an evaluation stores no activations."
    return (
        f"Pass `batch_size={size}` or more to the evaluation's `DataLoader` (no activations are stored), and sum or "
        "average over samples instead of batches."
    )


_SMALL = (train_loader(batch_size=128), train_loader(id=1, role="evaluation", batch_size=1, length_samples=3000))

RULE = Rule(
    id="evaluation_batch_small",
    title="evaluation reads far smaller batches than the training",
    headline="spends {share} of its time on an evaluation in small batches",
    looks_at="The batch sizes of the loaders that train and evaluate, the time of an evaluation, and the forward's "
    "time per sample in the training.",
    thresholds=("MIN_SAVED_SHARE", "MIN_BATCH_RATIO", "WARNING_SHARE"),
    source="Validation that outlasts training: locating-objects#46, hls-foundation-os#33.",
    url="https://docs.pytorch.org/docs/stable/data.html",
    judge=judge,
    examples=(
        Example(
            name="validation sample by sample",
            evidence=healthy_cpu(workload={"loaders": _SMALL}, evaluation=evaluation(seconds=20.0, share=0.4)),
            fires=True,
        ),
        Example(
            name="the same on an accelerator",
            evidence=healthy_cuda(workload={"loaders": _SMALL}, evaluation=evaluation(seconds=15.0, share=0.23)),
            fires=True,
        ),
        Example(
            name="half the training's batch",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(), train_loader(id=1, role="evaluation", batch_size=32))},
                evaluation=evaluation(seconds=20.0, share=0.4),
            ),
            fires=False,
        ),
        Example(
            name="small batches that take no longer per sample",
            evidence=healthy_cpu(workload={"loaders": _SMALL}, evaluation=evaluation(seconds=1.4, share=0.2)),
            fires=False,
        ),
        Example(
            name="3% of the loop",
            evidence=healthy_cpu(workload={"loaders": _SMALL}, evaluation=evaluation(seconds=20.0, share=0.03)),
            fires=False,
        ),
        Example(name="no evaluation", evidence=healthy_cpu(), fires=False),
    ),
)

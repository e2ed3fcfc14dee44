"""Iterators of the loader are begun again and again, and beginning one is what takes the time."""

from __future__ import annotations

from ..plural import plural
from ..types import Ceiling, Evidence, Place
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._input import abandons_iterators, draw_share, has_train_loader, made_at, place_at, restart_share
from ._read import duration, percent, phase_share, times

MIN_BEGIN_SHARE = 0.05
"""Share of the loop from which it is worth reporting: it is the least that worker_restart reports."""


def judge(evidence: Evidence) -> Judgement:
    share = restart_share(evidence)
    if share is None:  # iterators that last longer than the measurement cost little
        return None
    if abandons_iterators(evidence):
        return _abandoned(evidence, share) if share >= MIN_BEGIN_SHARE else None
    drawing = draw_share(evidence)
    return _drawn(evidence, drawing) if drawing >= MIN_BEGIN_SHARE else None


def _abandoned(evidence: Evidence, share: float) -> Hit | None:
    facts, restarts = evidence.workload.train_loader, evidence.restarts
    if facts is None or restarts is None or restarts.batches_per_start is None or not restarts.seconds_per_restart:
        return None
    starts = evidence.steps.micro_steps_per_update / max(restarts.batches_per_start, 1e-9)
    batches = max(round(restarts.batches_per_start), 1)
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"An iterator of the loader is begun {times(starts)} per update, and {batches} of its "
        f"{facts.length_batches:,} batches {'is' if batches == 1 else 'are'} taken. Each start takes "
        f"{duration(restarts.seconds_per_restart)}{_parts(evidence)}: {percent(share)} of the loop.",
        advice="Begin one iterator and take all of its batches: `for batch in loader:`, or `batches = iter(loader)` "
        "before the loop, with a new one only at `StopIteration`. `next(iter(loader))` draws a whole epoch's order"
        + (
            f", starts {plural(facts.num_workers, 'worker')}"
            if facts.num_workers and not facts.persistent_workers
            else ""
        )
        + " and throws the rest away.",
        where=made_at(facts),
        # Batches that are fetched ahead and thrown away compete with those that are used.
        ceiling=Ceiling.from_share(
            share, high=share + (phase_share(evidence, "data_wait") if facts.num_workers else 0)
        ),
    )


def _parts(evidence: Evidence) -> str:
    """Describe what a start consists of."""
    facts, restarts = evidence.workload.train_loader, evidence.restarts
    if facts is None or restarts is None:
        return ""
    parts = []
    if restarts.draw_s and restarts.seconds_per_restart and restarts.draw_s >= restarts.seconds_per_restart / 2:
        parts.append(
            f"{duration(restarts.draw_s)} of it for the order that {facts.sampler_class or 'the sampler'} draws"
        )
    elif facts.num_workers:
        parts.append(f"mostly for {plural(facts.num_workers, 'worker')}")
    return f", {', '.join(parts)}" if parts else ""


def _drawn(evidence: Evidence, share: float) -> Hit | None:
    facts, restarts = evidence.workload.train_loader, evidence.restarts
    if facts is None or restarts is None or not restarts.draw_s:
        return None
    name = facts.sampler_class or "the sampler"
    epoch = f" for an epoch of {restarts.updates_per_epoch:,.0f} updates" if restarts.updates_per_epoch else ""
    return Hit(
        share=share,
        severity=severity_of(share),
        evidence=f"At the start of every epoch {name} draws the order for {duration(restarts.draw_s)}{epoch}: "
        f"{percent(share)} of the loop.",
        advice=_draw_less(facts.sampler_class),
        where=_drawing(evidence),
        ceiling=Ceiling.from_share(share),
    )


def _draw_less(sampler: str) -> str:
    if sampler in ("RandomSampler", "WeightedRandomSampler"):
        return (
            f"{sampler} makes a Python list of a whole epoch's indices. Make epochs longer, draw only as many as an "
            "epoch takes (`num_samples`), or yield indices piece by piece from a sampler of your own."
        )
    return (
        "Do once, in the sampler's `__init__`, what does not change between epochs (sorting, grouping by length), use "
        "whole-array operations for the rest (`torch.randperm`, `argsort`), and yield indices as they are needed."
    )


def _drawing(evidence: Evidence) -> tuple[Place, ...]:
    facts = evidence.workload.train_loader
    return () if facts is None else place_at(facts.sampler_where, "__iter__") or made_at(facts)


_BEGUN = {
    "seconds_per_restart": 0.05,
    "updates_per_epoch": 1.0,
    "share": 0.33,
    "draw_s": 0.049,
    "batches_per_start": 1.0,
}
_SLOW_DRAW = {"seconds_per_restart": 6.0, "updates_per_epoch": 500.0, "share": 0.11, "draw_s": 5.9}
_ALONE = {"loaders": (train_loader(num_workers=0, persistent_workers=False, sampler_class="RandomSampler"),)}

RULE = Rule(
    id="iterator_restarted",
    title="beginning iterators of the loader takes the time",
    headline="spends {share} of its time starting iterators of its data loader",
    looks_at="The time in which iterators of the training's loader are made, draw their first indices and, with "
    "workers, wait for the first batch; how many batches are taken from each; the part that is the sampler's drawing. "
    "Workers started for whole epochs are worker_restart's.",
    thresholds=("MIN_BEGIN_SHARE", "WARNING_SHARE", "CRITICAL_SHARE"),
    source="pytorch-image-models#140 keeps one iterator over all epochs, since each start took seconds; here they are "
    "timed.",
    url="https://docs.pytorch.org/docs/stable/data.html#data-loading-order-and-sampler",
    applies=has_train_loader,
    judge=judge,
    examples=(
        Example(
            name="an iterator for every update, over two million samples",
            evidence=healthy_cpu(workload=_ALONE, restarts=_BEGUN),
            fires=True,
        ),
        Example(
            name="two workers started for every update of an accelerator",
            evidence=healthy_cuda(
                workload={"loaders": (train_loader(persistent_workers=False),)}, restarts={**_BEGUN, "draw_s": 0.001}
            ),
            fires=True,
        ),
        Example(
            name="a sampler that sorts for six seconds in every epoch",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(sampler_class="ByLength", sampler_where="train.py:12"),)},
                restarts=_SLOW_DRAW,
            ),
            fires=True,
        ),
        Example(
            name="iterators of one batch that begin at once",
            evidence=healthy_cpu(
                workload=_ALONE, restarts={**_BEGUN, "seconds_per_restart": 0.004, "share": 0.04, "draw_s": 0.004}
            ),
            fires=False,
        ),
        Example(
            name="workers started for whole epochs",
            evidence=healthy_cpu(
                workload={"loaders": (train_loader(persistent_workers=False),)},
                restarts={"seconds_per_restart": 6.0, "updates_per_epoch": 500.0, "share": 0.11, "draw_s": 0.01},
            ),
            fires=False,
        ),
        Example(
            name="iterators that last longer than the measurement",
            evidence=healthy_cpu(restarts=None, epoch_end={"seen": False, "seconds": {"loader_restart": None}}),
            fires=False,
        ),
    ),
)

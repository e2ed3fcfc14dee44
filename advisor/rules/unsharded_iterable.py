"""Workers of an iterable dataset each deliver the whole stream: the samples are seen several times."""

from __future__ import annotations

from ..types import Ceiling, Evidence, LoaderFacts
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import healthy_cpu, healthy_cuda, train_loader
from ._read import percent

EXPECTED_PART = 0.5
"""Fraction of the repeats of a wholly unsharded stream, (workers − 1) / workers: data with repeats of their own show
fewer, an undivided stream nearly all."""


def judge(evidence: Evidence) -> Judgement:
    suspects = _suspects(evidence)
    known = [(loader, loader.duplicates_fraction) for loader in suspects if loader.duplicates_fraction is not None]
    for loader, fraction in known:
        unsharded = (loader.num_workers - 1) / loader.num_workers
        if fraction >= EXPECTED_PART * unsharded:
            return _hit(loader, fraction)
    if len(known) < len(suspects):
        return Undecided(why="whether the workers shard the iterable dataset was not checked")
    return None


def _suspects(evidence: Evidence) -> list[LoaderFacts]:
    """Return loaders that can repeat themselves; the training one first."""
    found = [loader for loader in evidence.workload.loaders if loader.iterable and loader.num_workers > 1]
    return sorted((loader for loader in found if loader.role != "unused"), key=lambda loader: loader.role != "train")


def _hit(loader: LoaderFacts, fraction: float) -> Hit:
    training = loader.role == "train"
    return Hit(
        share=fraction if training else 0.0,
        severity="critical" if training else "warning",
        evidence=f"{percent(fraction)} of the samples that the {loader.num_workers} workers of "
        f"`{loader.dataset_class}` deliver were delivered by another worker too: an epoch "
        f"{'trains on' if training else 'evaluates'} each sample several times, so the measured speed is misleading.",
        advice="Let each worker read its own shard: in `__iter__`, `torch.utils.data.get_worker_info()` gives the "
        "worker's id and the number of workers.",
        ceiling=Ceiling.from_share(fraction) if training else None,
    )


def _stream(**changes: object) -> dict[str, object]:
    facts = {"iterable": True, "length_batches": None, "num_workers": 4, **changes}
    return {"loaders": (train_loader(**facts),)}


RULE = Rule(
    id="unsharded_iterable",
    title="all workers of an iterable dataset deliver the same samples",
    headline="trains on the same samples several times: its dataset is not sharded among the workers",
    looks_at="Loaders of iterable datasets with two workers or more, and the share of samples that more than one "
    "delivered.",
    thresholds=("EXPECTED_PART",),
    source="The documentation of IterableDataset warns of it; in a test, two workers delivered everything twice.",
    url="https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset",
    applies=lambda evidence: bool(_suspects(evidence)),
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="two workers, each sample twice",
            evidence=healthy_cpu(workload=_stream(num_workers=2, duplicates_fraction=0.5)),
            fires=True,
        ),
        Example(
            name="four workers on an accelerator",
            evidence=healthy_cuda(workload=_stream(duplicates_fraction=0.74)),
            fires=True,
        ),
        Example(
            name="the workers divide the stream",
            evidence=healthy_cpu(workload=_stream(duplicates_fraction=0.0)),
            fires=False,
        ),
        Example(
            name="data that repeat of themselves",
            evidence=healthy_cpu(workload=_stream(duplicates_fraction=0.2)),
            fires=False,
        ),
        Example(name="a single worker", evidence=healthy_cpu(workload=_stream(num_workers=1)), fires=False),
        Example(name="not checked", evidence=healthy_cpu(workload=_stream()), fires="abstains"),
    ),
)

"""Ranks get unlike amounts of data: in an update, or in an epoch."""

from __future__ import annotations

from ..types import Ceiling, Communication, Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided, severity_of
from ._examples import healthy_cpu
from ._rank_examples import on_cpus, on_devices
from ._read import duration, percent

MIN_IMBALANCE = 1.1
"""Elements of the rank with most of them over the mean rank's: below it, the wait has another cause."""
MIN_IMBALANCE_SHARE = 0.08
"""Share of an update that even data would save, from which it is reported: a smaller gain could hardly be shown."""


def judge(evidence: Evidence) -> Judgement:
    found = evidence.communication
    uneven = _uneven_epochs(evidence)
    if found is None or found.elements_imbalance is None:
        return uneven or Undecided(why="the elements of every rank's batches could not be counted")
    share = _share(found)
    if found.elements_imbalance < MIN_IMBALANCE or share < MIN_IMBALANCE_SHARE:
        return uneven
    counts = [rank.elements_per_update or 0.0 for rank in evidence.ranks]
    always = max(counts) >= MIN_IMBALANCE * sum(counts) / len(counts)
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=_words(evidence, found, counts, share, always=always),
        advice=_advice(always=always),
        ceiling=Ceiling.from_share(share),
    )


def _share(found: Communication) -> float:
    """Return the share of an update that ranks with even work would save."""
    return (found.slowest_s - found.even_s) / found.update_s if found.update_s > 0 else 0.0


def _words(evidence: Evidence, found: Communication, counts: list[float], share: float, *, always: bool) -> str:
    if always:
        most = max(evidence.ranks, key=lambda rank: rank.elements_per_update or 0.0)
        others = [count for rank, count in zip(evidence.ranks, counts, strict=True) if rank is not most]
        said = f"The batches of rank {most.rank} hold {max(counts) / (sum(others) / len(others)):.2f} times as many "
        said += "elements as the others'"
    else:
        said = f"In the mean update, one rank's batch holds {found.elements_imbalance:.2f} times as many elements as "
        said += "the mean batch, each time another's"
    return f"{said}: the others wait for it, {duration(share * found.update_s)} of an update ({percent(share)})."


def _advice(*, always: bool) -> str:
    if always:
        return (
            "Deal the samples out by size and not by number: shuffle over all ranks (`DistributedSampler`), or give "
            "every rank batches of equal tokens."
        )
    return (
        "Form the batches of one update from samples of like length: sort or bucket by length over all ranks "
        "(`group_by_length` in the Trainer), or fill batches up to a number of tokens."
    )


def _uneven_epochs(evidence: Evidence) -> Hit | None:
    """Return the finding of epochs that end on one rank before the others: these wait for ever in a collective."""
    lengths = {rank.rank: rank.length_batches for rank in evidence.ranks if rank.length_batches is not None}
    if len(lengths) <= 1 or len(set(lengths.values())) == 1:
        return None
    short, long = min(lengths, key=lambda rank: lengths[rank]), max(lengths, key=lambda rank: lengths[rank])
    return Hit(
        severity="warning",
        evidence=f"An epoch has {lengths[short]:,} batches on rank {short} and {lengths[long]:,} on rank {long}: at "
        "its end, ranks that go on wait for one that has finished, until the backend's time is up.",
        advice="Use a `DistributedSampler` (it pads) or `drop_last=True`, or put the loop under `model.join()`.",
    )


RULE = Rule(
    id="data_imbalance",
    title="ranks get unlike amounts of data",
    headline="gives its ranks unlike amounts of data",
    looks_at="The elements of the batches that every rank's models are called with, update by update, the time that "
    "the slowest rank needs beyond the mean, and the length of every rank's epoch.",
    thresholds=("MIN_IMBALANCE", "MIN_IMBALANCE_SHARE"),
    source="Variable lengths under DDP: grouping batches by length over all ranks gave 1.5 times the tokens per second "
    "on two devices (transformers, pull request 47340).",
    url="https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.distributed.DistributedSampler",
    applies=lambda evidence: evidence.workload.world_size > 1,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="rank 1 has samples of twice the length",
            evidence=on_cpus(
                (0.050, 0.095),
                ranks={"elements_per_update": (8_192.0, 16_384.0)},
                communication={"elements_imbalance": 1.33},
            ),
            fires=True,
        ),
        Example(
            name="lengths drawn at random on four devices",
            evidence=on_devices(
                (0.07, 0.07, 0.07, 0.07),
                communication={"slowest_s": 0.093, "waiting_s": 0.023, "elements_imbalance": 1.4},
            ),
            fires=True,
        ),
        Example(
            name="rank 1 has twenty batches more",
            evidence=on_cpus(ranks={"length_batches": (500, 520)}),
            fires=True,
        ),
        Example(name="alike", evidence=on_cpus(), fires=False),
        Example(
            name="a slow rank with the same data",
            evidence=on_cpus((0.050, 0.095)),
            fires=False,
        ),
        Example(
            name="elements 8% apart",
            evidence=on_cpus((0.080, 0.097), communication={"elements_imbalance": 1.08}),
            fires=False,
        ),
        Example(name="one process", evidence=healthy_cpu(), fires=False),
        Example(
            name="elements not counted", evidence=on_cpus(communication={"elements_imbalance": None}), fires="abstains"
        ),
    ),
)

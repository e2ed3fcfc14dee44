"""Gradients are sent in many small messages, whose number takes the time."""

from __future__ import annotations

import statistics

from ..types import Ceiling, Communication, Evidence, RankFacts
from ._base import Example, Hit, Judgement, Rule, severity_of
from ._rank_examples import MIB, on_cpus, on_devices
from ._read import duration, percent, size

SMALL_BYTES = 1 << 20
"""Mean size of a message below which its latency counts: over gloo between two busy CPUs, 16 MiB took about as long in
messages of 1 MiB as in one, at least 1.5 times as long in messages of 256 KiB, and 8 times in such of 64 KiB."""
MIN_MESSAGES = 8
"""Messages of an update from which joining them can save much: the first bucket of DDP is small on purpose."""
MIN_SMALL_SHARE = 0.05
"""Share of an update in which the ranks only send, from which it is reported."""


def judge(evidence: Evidence) -> Judgement:
    facts, found = evidence.workload.ranks, evidence.communication
    if found is None:
        return None
    if found.calls_per_update >= MIN_MESSAGES and found.bytes_per_update < SMALL_BYTES * found.calls_per_update:
        return _own_calls(evidence, found)
    if facts is None or len(facts.bucket_bytes) < MIN_MESSAGES or statistics.fmean(facts.bucket_bytes) >= SMALL_BYTES:
        return None
    share = found.sending_share
    return _of_buckets(facts, found, share) if share >= MIN_SMALL_SHARE else None


def _own_calls(evidence: Evidence, found: Communication) -> Hit | None:
    spent_s = min(found.calls_s, found.sending_s) if found.source == "calls" else found.sending_s
    share = spent_s / found.update_s if found.update_s > 0 else 0.0
    if share < MIN_SMALL_SHARE:
        return None
    facts = evidence.workload.ranks
    wrapped = facts is not None and facts.wrapper != "none"
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"{found.calls_per_update:,.3g} collectives of {size(found.bytes_per_update / found.calls_per_update)}"
        f" each are called in an update, mostly `{found.call}`: {duration(spent_s)} ({percent(share)}) of waiting "
        "that no slower rank explains.",
        advice="Join them: flatten the tensors into one, or stack the values and send once; what is only logged can be "
        "sent every hundred updates."
        if wrapped
        else "Wrap the model in DistributedDataParallel: it joins gradients in buckets of 25 MiB, and sends them while "
        "the backward still computes.",
        ceiling=Ceiling.from_share(share),
    )


def _of_buckets(facts: RankFacts, found: Communication, share: float) -> Hit:
    cap = f" (`bucket_cap_mb={facts.bucket_cap_bytes / MIB:.3g}`)" if facts.bucket_cap_bytes else ""
    return Hit(
        share=share,
        severity=severity_of(share, least="warning"),
        evidence=f"DDP sends {size(sum(facts.bucket_bytes))} of gradients in {len(facts.bucket_bytes)} buckets of "
        f"{size(statistics.fmean(facts.bucket_bytes))}{cap}, and ranks wait {duration(found.sending_s)} of an update "
        f"({percent(share)}) for them.",
        advice="Leave `bucket_cap_mb` at its 25: a few large messages, of which the backward hides all but the last.",
        ceiling=Ceiling.from_share(share),
    )


RULE = Rule(
    id="bucket_too_small",
    title="gradients are sent in many small messages",
    headline="sends many small messages between its ranks",
    looks_at="The buckets of DDP, the collectives that are called from Python, with their sizes, and the least wait of "
    "any rank.",
    thresholds=("SMALL_BYTES", "MIN_MESSAGES", "MIN_SMALL_SHARE"),
    source="PyTorch Distributed (Li and others, VLDB 2020) shows the time of all-reduces against their size; measured "
    "again over gloo on two CPUs.",
    url="https://docs.pytorch.org/docs/stable/generated/torch.nn.parallel.DistributedDataParallel.html",
    knobs=(),
    applies=lambda evidence: evidence.workload.world_size > 1,
    judge=judge,
    examples=(
        Example(
            name="bucket_cap_mb=0.1",
            evidence=on_cpus((0.080, 0.079), facts={"bucket_bytes": (100_000,) * 60, "bucket_cap_bytes": 104_857}),
            fires=True,
        ),
        Example(
            name="an all_reduce for every parameter",
            evidence=on_cpus(
                (0.070, 0.069),
                facts={"wrapper": "none", "bucket_bytes": ()},
                communication={
                    "calls_per_update": 120.0,
                    "bytes_per_update": 12e6,
                    "calls_s": 0.030,
                    "call": "all_reduce",
                },
            ),
            fires=True,
        ),
        Example(
            name="twenty metrics averaged in every update, on accelerators",
            evidence=on_devices(
                (0.090, 0.090),
                communication={
                    "source": "device",
                    "calls_per_update": 20.0,
                    "bytes_per_update": 80.0,
                    "call": "all_reduce",
                },
            ),
            fires=True,
        ),
        Example(name="two buckets of 25 MiB", evidence=on_cpus((0.08, 0.08)), fires=False),
        Example(
            name="small buckets that the backward hides",
            evidence=on_cpus(facts={"bucket_bytes": (100_000,) * 60}),
            fires=False,
        ),
        Example(
            name="seven small messages",
            evidence=on_cpus(
                (0.08, 0.08), communication={"calls_per_update": 7.0, "bytes_per_update": 7e3, "calls_s": 0.02}
            ),
            fires=False,
        ),
    ),
)

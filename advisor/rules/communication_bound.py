"""Ranks wait for their gradients to be sent, longer than their computation hides."""

from __future__ import annotations

from ..types import Communication, Evidence, RankFacts
from ._base import (
    Example,
    Hit,
    Judgement,
    Rule,
    Undecided,
    ceiling_of,
    gain_of,
    lost_share,
    severity_of,
)
from ._examples import healthy_cpu, what_if
from ._rank_examples import on_cpus, on_devices
from ._read import duration, percent

MIN_SENDING_SHARE = 0.10
"""Share of an update from which it is reported: PyTorch's profiler plug-in recommended to act from 10% on."""
FEW_BYTES = 1 << 20
"""Gradients of a model below which the time is the number of messages, not their size: a megabyte takes a fraction of a
millisecond between the processes of one machine."""


def judge(evidence: Evidence) -> Judgement:
    found = evidence.communication
    if found is None:
        return Undecided(why="the ranks' wait for each other could not be seen")
    share = found.sending_share
    if share < MIN_SENDING_SHARE:
        return None
    gain = gain_of(evidence.what_ifs.get("no_communication"))
    lost = lost_share(gain.speedup) if gain is not None else share
    return Hit(
        share=share,
        severity=severity_of(max(lost, MIN_SENDING_SHARE), least="warning"),
        evidence=_words(evidence, found, share),
        advice=_advice(evidence, found),
        ceiling=ceiling_of(gain, share),
    )


def _words(evidence: Evidence, found: Communication, share: float) -> str:
    facts, size = evidence.workload.ranks, _gradient_bytes(evidence)
    sent = "" if size is None else f" of {size / 1e6:,.3g} MB"
    over = "" if facts is None else f" over {facts.backend}"
    what = "gradients and parameters" if facts is not None and facts.wrapper == "fsdp" else "gradients"
    where = "kernels of collectives that nothing hides" if found.source == "device" else "with nothing left to compute"
    said = (
        f"Each of {evidence.workload.world_size} ranks spends at least {duration(found.sending_s)} of an update "
        f"({percent(share)}) on sending {what}{sent}{over}, {where}"
    )
    without = gain_of(evidence.what_ifs.get("no_communication"))
    if without is not None:
        said += f"; with no gradients sent, the slowest rank ran {without.speedup:.2f} times as fast "
        said += f"({without.low:.2f}–{without.high:.2f})"
    return said + "."


def _gradient_bytes(evidence: Evidence) -> int | None:
    facts = evidence.workload.ranks
    if facts is not None and facts.bucket_bytes:
        return sum(facts.bucket_bytes)
    return round(evidence.communication.bytes_per_update) or None if evidence.communication is not None else None


def _advice(evidence: Evidence, found: Communication) -> str:
    facts = evidence.workload.ranks
    sharded = facts is not None and facts.wrapper == "fsdp"
    ways = []
    if facts is not None and facts.wrapper == "none" and found.calls_per_update >= 1:
        ways.append("let DistributedDataParallel send the gradients: it does so while the backward still computes")
    if facts is not None and facts.find_unused and not facts.unused_bytes:
        ways.append("leave out `find_unused_parameters=True`, which searches the graph for nothing here")
    unsent = "with `set_requires_gradient_sync(False)`" if sharded else "under `model.no_sync()`"
    if evidence.workload.facts.micro_steps > 1:
        ways.append(f"send once per update: run all backwards but the last {unsent}")
    else:
        ways.append(f"compute more per message: larger batches per rank, or accumulation {unsent}")
    if sharded:
        ways.append("keep parameters after the forward (`reshard_after_forward=False`), or replicate them if they fit")
    if _compresses(evidence, facts):
        ways.append("halve the messages with the hook `bf16_compress_hook`")
    if not evidence.on_accelerator:
        ways.append(
            "compare with one process on all CPUs: ranks of one machine share its memory, and a small model gains "
            "nothing from a second one"
        )
    text = "; ".join(ways)
    return text[:1].upper() + text[1:] + "."


def _compresses(evidence: Evidence, facts: RankFacts | None) -> bool:
    size = _gradient_bytes(evidence) or 0
    return facts is not None and facts.wrapper == "ddp" and not facts.comm_hook and size > FEW_BYTES


RULE = Rule(
    id="communication_bound",
    title="ranks wait while gradients are sent",
    headline="spends {share} of its time on sending gradients between ranks",
    looks_at="In every update the least wait of any rank in collectives and at the end of backwards. On an "
    "accelerator: kernels of collectives that no other hides. With it, the what-if no_communication.",
    thresholds=("MIN_SENDING_SHARE", "FEW_BYTES", "CRITICAL_SHARE"),
    source="PyTorch's profiler plug-in for TensorBoard (communication above 10%); the advice follows the DDP notes and "
    "what maintainers answer to reports of DDP that is slower than one device.",
    url="https://docs.pytorch.org/docs/stable/notes/ddp.html",
    knobs=("global_batch",),
    applies=lambda evidence: evidence.workload.world_size > 1,
    judge=judge,
    examples=(
        Example(
            name="a small model over gloo, 40% of each update",
            evidence=on_cpus((0.060, 0.059), what_ifs=what_if("no_communication", 1.6)),
            fires=True,
        ),
        Example(
            name="NCCL kernels that nothing hides, 15%",
            evidence=on_devices((0.085, 0.085), communication={"source": "device"}),
            fires=True,
        ),
        Example(
            name="every gradient averaged by hand",
            evidence=on_cpus(
                (0.080, 0.079), facts={"wrapper": "none", "bucket_bytes": ()}, communication={"calls_per_update": 40.0}
            ),
            fires=True,
        ),
        Example(
            name="sharded parameters over gloo",
            evidence=on_cpus((0.060, 0.059), facts={"wrapper": "fsdp", "bucket_bytes": ()}),
            fires=True,
        ),
        Example(name="sent behind the backward, 3% are left", evidence=on_cpus(), fires=False),
        Example(name="one rank comes late, and the others wait for it", evidence=on_cpus((0.097, 0.040)), fires=False),
        Example(name="one process", evidence=healthy_cpu(), fires=False),
        Example(
            name="the waits were not seen",
            evidence=healthy_cpu(workload={"world_size": 2}),
            fires="abstains",
        ),
    ),
)

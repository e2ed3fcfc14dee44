"""Memory is read back from the swap while training."""

from __future__ import annotations

from ..types import Evidence
from ._base import Example, Hit, Judgement, Rule, Undecided
from ._examples import GIB, healthy_cpu, healthy_cuda
from ._read import size

MIN_SWAP_IN_BYTES_PER_S = 1e6
"""Rate of pages read back while the loop runs; pages written out once and not missed cost nothing."""
MUCH_SWAP_IN_BYTES_PER_S = 50e6
"""Rate that is a good part of a disk's: the training then runs at the disk's speed."""


def judge(evidence: Evidence) -> Judgement:
    rate = evidence.system.swap_in_bytes_per_s
    if rate is None:
        return Undecided(why="swap is in use, and the rate of reads from it was not measured")
    if rate < MIN_SWAP_IN_BYTES_PER_S:
        return None
    return Hit(
        severity="critical" if rate >= MUCH_SWAP_IN_BYTES_PER_S else "warning",
        evidence=f"While the script trained, the machine read {size(rate)} per second from swap "
        f"({size(evidence.hardware.memory.swap_used_bytes)} in use); another program may be the cause.",
        advice="Use less memory (fewer workers, smaller batches, a memory-mapped dataset), or stop other programs "
        "that use it.",
    )


def uses_swap(evidence: Evidence) -> bool:
    memory = evidence.hardware.memory
    return memory.swap_total_bytes > 0 and (memory.swap_used_bytes > 0 or bool(evidence.system.swap_in_bytes_per_s))


_USED = {"memory": {"swap_used_bytes": GIB}}

RULE = Rule(
    id="swapping",
    title="memory is read back from swap",
    headline="runs while memory is read back from swap",
    looks_at="Bytes per second read from swap during the loop, for the whole machine; the kernel counts no other way.",
    thresholds=("MIN_SWAP_IN_BYTES_PER_S", "MUCH_SWAP_IN_BYTES_PER_S"),
    source="gpuprof warns from 1 MB/s of swap-in.",
    url="https://docs.kernel.org/admin-guide/mm/concepts.html",
    knobs=("num_workers", "micro_batch", "prefetch_factor"),
    applies=uses_swap,
    judge=judge,
    needs_updates=False,
    examples=(
        Example(
            name="5 MB per second read back",
            evidence=healthy_cpu(hardware=_USED, system={"swap_in_bytes_per_s": 5e6}),
            fires=True,
        ),
        Example(
            name="120 MB per second, on an accelerator",
            evidence=healthy_cuda(hardware=_USED, system={"swap_in_bytes_per_s": 120e6}),
            fires=True,
        ),
        Example(name="swap in use, and nothing read back", evidence=healthy_cpu(hardware=_USED), fires=False),
        Example(name="swap not in use", evidence=healthy_cpu(), fires=False),
        Example(
            name="swap in use, reads not measured",
            evidence=healthy_cpu(hardware=_USED, system={"swap_in_bytes_per_s": None}),
            fires="abstains",
        ),
    ),
)

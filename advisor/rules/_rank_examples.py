"""Evidence of several ranks, to build examples from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..types import Communication, Evidence, Rank, RankFacts
from ._examples import healthy_cpu, healthy_cuda

_UPDATE_S = 0.100
MIB = 2**20


def ranks(own_s: Sequence[float], **changes: Sequence[Any]) -> tuple[Rank, ...]:
    """Return one rank for each own time of an update of 100 ms; `changes` give a value for each of them."""
    found = []
    for number, own in enumerate(own_s):
        others = [other for place, other in enumerate(own_s) if place != number]
        given: dict[str, Any] = {
            "phases_s": {"data_wait": 0.001, "forward": 0.03, "backward": _UPDATE_S - 0.031},
            "samples_per_update": 64.0,
            "elements_per_update": 16_384.0,
            "length_batches": 500,
        }
        given |= {name: values[number] for name, values in changes.items()}
        found.append(
            Rank(
                rank=number,
                pid=1000 + number,
                device="cpu",
                mean_s=_UPDATE_S,
                data_wait_fraction=0.01,
                communication_s=_UPDATE_S - own,
                own_s=own,
                slowest_without_s=max(others),
                **given,
            )
        )
    return tuple(found)


def communication(own_s: Sequence[float], **changes: Any) -> Communication:
    """Return the wait of ranks with these own times in an update of 100 ms, with changes."""
    sending = _UPDATE_S - max(own_s)
    given: dict[str, Any] = {
        "source": "calls",
        "update_s": _UPDATE_S,
        "sending_s": sending,
        "waiting_s": max(own_s) - sum(own_s) / len(own_s),
        "slowest_s": max(own_s),
        "even_s": sum(own_s) / len(own_s),
        "elements_imbalance": 1.0,
    }
    return Communication(**{**given, **changes})


def rank_facts(**changes: Any) -> RankFacts:
    """Return a model in DDP with buckets of the usual size."""
    given: dict[str, Any] = {
        "backend": "gloo",
        "wrapper": "ddp",
        "bucket_bytes": (25 * MIB, 21 * MIB),
        "bucket_cap_bytes": 25 * MIB,
        "find_unused": False,
    }
    return RankFacts(**{**given, **changes})


def on_cpus(own_s: Sequence[float] = (0.097, 0.096), **changes: Any) -> Evidence:
    """Return evidence of ranks with these own times over gloo, nothing to gain by default; `ranks`, `communication`
    and `facts` are changes of those, all others of the evidence."""
    return _on(healthy_cpu, own_s, {}, changes)


def on_devices(own_s: Sequence[float] = (0.097, 0.096), **changes: Any) -> Evidence:
    """Return the same on accelerators over NCCL."""
    return _on(healthy_cuda, own_s, {"backend": "nccl"}, changes)


def _on(healthy: Any, own_s: Sequence[float], facts: dict[str, Any], changes: dict[str, Any]) -> Evidence:
    of_ranks, wait = changes.pop("ranks", {}), changes.pop("communication", {})
    known = rank_facts(**{**facts, **changes.pop("facts", {})})
    workload = {"world_size": len(own_s), "ranks": known, **changes.pop("workload", {})}
    evidence: Evidence = healthy(
        ranks=ranks(own_s, **of_ranks), communication=communication(own_s, **wait), workload=workload, **changes
    )
    return evidence

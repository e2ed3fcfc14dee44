"""Ranks of a training: their phases over the same updates, and their wait for each other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .. import whatif, wire
from ..runtime.ranks import RankRecord
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session_result import SessionResult
from ..types import PHASES, Communication, DeviceUse, Rank, Workload
from .profile_plan import DEVICE_TRACE

OWN_COLLECTIVES = ("nccl", "rccl", "xccl", "hccl")
"""Backends whose collectives run on the device: calls of them only enqueue."""


class _Windows:
    """The first window of every rank, cut to the same updates."""

    def __init__(self, first: wire.WindowDone, others: Sequence[RankRecord], cut: int) -> None:
        found = {first.rank: first, **{o.rank: o.windows[first.id] for o in others if first.id in o.windows}}
        counts = [len(window.wall_s) for window in found.values()]
        self.count = max(0, min(counts) - cut)
        self.by_rank = {rank: window for rank, window in found.items() if self.count}

    def last(self, values: Sequence[float]) -> list[float]:
        """Return the updates that all ranks have counted; a rank may have begun a moment earlier."""
        return list(values[-self.count :])

    def in_step(self, window: wire.WindowDone) -> list[float]:
        columns = [self.last(window.phases_s[name]) for name in PHASES if window.phases_s.get(name)]
        return [sum(values) for values in zip(*columns, strict=True)]

    def elements_imbalance(self) -> float | None:
        """Return how many times as many elements the rank with most of them has, in the mean update."""
        counts = [self.last(window.element_counts) for window in self.by_rank.values()]
        whole = [sum(values) for values in zip(*counts, strict=True)]
        if not all(whole):
            return None
        return statistics.fmean(max(values) * len(values) / sum(values) for values in zip(*counts, strict=True))

    def waits(self, window: wire.WindowDone) -> list[float] | None:
        return self.last(window.communication_s) if window.communication_s else None


def ranks(first: wire.WindowDone, script_run: ScriptRunRecord, cut: int, workload: Workload) -> tuple[Rank, ...]:
    """Return every rank that has reported the window, in their order."""
    windows = _Windows(first, script_run.ranks.others, cut)
    records = script_run.ranks.records
    found = [_rank(windows, window, records.get(rank), workload) for rank, window in sorted(windows.by_rank.items())]
    own = {rank: o for rank, window in windows.by_rank.items() if (o := _own(windows, window)) is not None}
    if len(found) < 2 or len(own) < len(found):
        return tuple(found)
    return tuple(
        replace(
            rank,
            own_s=statistics.fmean(own[rank.rank]),
            slowest_without_s=_slowest([values for other, values in own.items() if other != rank.rank]),
        )
        for rank in found
    )


def communication(
    first: wire.WindowDone,
    script_run: ScriptRunRecord,
    cut: int,
    workload: Workload,
    on_device: DeviceUse | None,
) -> Communication | None:
    """Return how long the ranks wait for each other; None unless all of them have reported it."""
    others = script_run.ranks.others
    if not others or len(others) + 1 < script_run.ranks.world_size:
        return None
    windows = _Windows(first, others, cut)
    if workload.device != "cpu" and _runs_on_device(workload):
        return _of_device(first, others, windows, on_device)
    waits = [windows.waits(window) for window in windows.by_rank.values()]
    own = [_own(windows, window) for window in windows.by_rank.values()]
    known = [each for each in waits if each is not None]
    known_own = [each for each in own if each is not None]
    if not known or len(known) <= len(others) or len(known_own) <= len(others):
        return None
    sending = [min(values) for values in zip(*known, strict=True)]
    mean = [statistics.fmean(values) for values in zip(*known, strict=True)]
    in_step = [windows.in_step(window) for window in windows.by_rank.values()]
    return Communication(
        source="calls",
        update_s=max(map(statistics.fmean, in_step)),
        sending_s=statistics.fmean(sending),
        waiting_s=statistics.fmean(mean) - statistics.fmean(sending),
        slowest_s=_slowest(known_own),
        even_s=statistics.fmean(map(statistics.fmean, known_own)),
        elements_imbalance=windows.elements_imbalance(),
        **_calls(first),
    )


def _runs_on_device(workload: Workload) -> bool:
    backend = workload.ranks.backend if workload.ranks is not None else ""
    return any(name in backend for name in OWN_COLLECTIVES)


def _of_device(
    first: wire.WindowDone, others: Sequence[RankRecord], windows: _Windows, on_device: DeviceUse | None
) -> Communication | None:
    """Return the wait by kernels of collectives that nothing hides; they run for as long as they wait."""
    if on_device is None:
        return None
    exposed = [on_device.nccl_exposed_s]
    for other in others:
        found = other.windows.get(DEVICE_TRACE)
        device: Any = found.extra.get("device") if found is not None else None
        if not isinstance(device, dict) or not isinstance(device.get("nccl_exposed_s"), float):
            return None
        exposed.append(device["nccl_exposed_s"])
    return Communication(
        source="device",
        update_s=on_device.traced_update_s,
        sending_s=min(exposed),
        waiting_s=statistics.fmean(exposed) - min(exposed),
        elements_imbalance=windows.elements_imbalance(),
        **_calls(first),
    )


def _calls(first: wire.WindowDone) -> dict[str, Any]:
    """Return the collectives that were called from Python, per update of rank 0."""
    found: Any = first.extra.get("collectives")
    try:
        calls = _CALLS.validate_python(found or {})
    except ValidationError:
        return {}
    sent = {name: each for name, each in calls.items() if name not in ("wait", "barrier", "monitored_barrier")}
    updates = max(1, len(first.wall_s))
    return {
        "calls_per_update": sum(each[0] for each in sent.values()) / updates,
        "bytes_per_update": sum(each[1] for each in sent.values()) / updates,
        "calls_s": sum(each[2] for each in calls.values()) / 1e9 / updates,
        "call": max(calls, key=lambda name: calls[name][2], default=""),
    }


_CALLS = TypeAdapter(dict[str, tuple[int, int, int]])


def _own(windows: _Windows, window: wire.WindowDone) -> list[float] | None:
    """Return the updates' times without the wait for other ranks."""
    waits = windows.waits(window)
    if waits is None:
        return None
    return [max(0.0, whole - wait) for whole, wait in zip(windows.in_step(window), waits, strict=True)]


def _slowest(own: Sequence[Sequence[float]]) -> float:
    return statistics.fmean(max(values) for values in zip(*own, strict=True))


def _rank(windows: _Windows, window: wire.WindowDone, record: RankRecord | None, workload: Workload) -> Rank:
    in_step, waits = windows.in_step(window), windows.waits(window)
    phases = {name: statistics.fmean(windows.last(values)) for name in PHASES if (values := window.phases_s.get(name))}
    whole = sum(phases.values())
    samples = [count for count in windows.last([s or 0 for s in window.samples]) if count]
    return Rank(
        rank=window.rank,
        pid=record.hello.pid if record is not None else 0,
        device=workload.device,
        mean_s=statistics.fmean(in_step) if in_step else None,
        data_wait_fraction=phases.get("data_wait", 0.0) / whole if whole else None,
        phases_s=phases,
        communication_s=statistics.fmean(waits) if waits is not None else None,
        samples_per_update=statistics.fmean(samples) if samples else None,
        elements_per_update=statistics.fmean(windows.last(window.element_counts)) if window.elements else None,
        length_batches=_length(record),
    )


def _length(record: RankRecord | None) -> int | None:
    """Return the batches of an epoch of this rank's train loader."""
    loaders: Any = record.facts.workload.get("loaders") if record is not None and record.facts is not None else None
    found = [one.get("length_batches") for one in loaders or () if one.get("role") == "train"]
    return found[0] if found and isinstance(found[0], int) else None


def paced_by_the_slowest(result: SessionResult) -> SessionResult:
    """Return the result with the slowest rank's report of every window in which ranks do not wait for each other."""
    freed = {
        name for name, window in result.windows.items() if window.what_if and whatif.get(window.what_if).frees_ranks
    }
    outcomes = dict(result.outcomes)
    for name in freed & outcomes.keys():
        others = result.script_runs[result.script_run_of[name]].ranks.others
        reports = [outcomes[name], *(other.windows[name] for other in others if name in other.windows)]
        counted = [report for report in reports if isinstance(report, wire.WindowDone) and report.wall_s]
        if counted:
            outcomes[name] = max(counted, key=lambda report: statistics.fmean(report.wall_s))
    return replace(result, outcomes=outcomes) if freed else result

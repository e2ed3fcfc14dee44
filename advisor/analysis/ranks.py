"""Ranks of a training: their phases over the same updates, and their wait for each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from .. import whatif, wire
from ..runtime.ranks import RankRecord
from ..runtime.script_run_record import ScriptRunRecord
from ..runtime.session_result import SessionResult
from ..types import PHASES, Communication, DeviceUse, Rank, Workload
from .profile_plan import DEVICE_TRACE

LEAST_WITH_DATA = 0.5
"""Share of the updates in which all ranks must have data, for these to be compared."""
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
        """Return how many times as many elements the rank with most of them has, in the mean update in which all have
        some: one whose data are used up may only accompany the others (`model.join()`)."""
        counts = [self.last(window.element_counts) for window in self.by_rank.values()]
        whole = [values for values in zip(*counts, strict=True) if all(values)]
        if len(whole) < LEAST_WITH_DATA * self.count:
            return None
        return statistics.fmean(max(values) * len(values) / sum(values) for values in whole)

    def waits(self, window: wire.WindowDone) -> list[float] | None:
        return self.last(window.communication_s) if window.communication_s else None


@dataclass(frozen=True)
class _Compared:
    """Waits and own times of all ranks, over the same updates; on a device the means of its traced ones."""

    source: Literal["calls", "device"]
    waits: Mapping[int, Sequence[float]]
    own: Mapping[int, Sequence[float]]
    update_s: float


def ranks_and_waits(
    first: wire.WindowDone, script_run: ScriptRunRecord, cut: int, workload: Workload, on_device: DeviceUse | None
) -> tuple[tuple[Rank, ...], Communication | None]:
    """Return every rank that has reported the window, and how long they wait for each other.

    The latter is None unless all of them have reported it.
    """
    others, records = script_run.ranks.others, script_run.ranks.records
    windows = _Windows(first, others, cut)
    found = [_rank(windows, window, records.get(rank), workload) for rank, window in sorted(windows.by_rank.items())]
    if not others or len(found) < script_run.ranks.world_size:
        return tuple(found), None
    by_device = workload.device != "cpu" and _runs_on_device(workload)
    compared = _by_device(others, on_device) if by_device else _by_calls(windows)
    if compared is None:
        return tuple(found), None
    return tuple(_with_own(rank, compared) for rank in found), _communication(first, windows, compared)


def _by_calls(windows: _Windows) -> _Compared | None:
    """Return the waits that were seen on the CPU; None if those of a rank were not."""
    waits = {rank: each for rank, window in windows.by_rank.items() if (each := windows.waits(window)) is not None}
    if len(waits) < len(windows.by_rank):
        return None
    in_step = {rank: windows.in_step(window) for rank, window in windows.by_rank.items()}
    own = {rank: [max(0.0, w - s) for w, s in zip(in_step[rank], waits[rank], strict=True)] for rank in waits}
    return _Compared("calls", waits, own, max(map(statistics.fmean, in_step.values())))


def _by_device(others: Sequence[RankRecord], on_device: DeviceUse | None) -> _Compared | None:
    """Return the kernels of collectives that nothing hides; they run for as long as they wait."""
    if on_device is None:
        return None
    waits, updates = {0: [on_device.nccl_exposed_s]}, {0: on_device.traced_update_s}
    for other in others:
        found = other.windows.get(DEVICE_TRACE)
        device: Any = found.extra.get("device") if found is not None else None
        try:
            exposed_s, update_s = float(device["nccl_exposed_s"]), float(device["traced_update_s"])
        except (TypeError, KeyError, ValueError):
            return None
        waits[other.rank], updates[other.rank] = [exposed_s], update_s
    own = {rank: [max(0.0, updates[rank] - waits[rank][0])] for rank in waits}
    return _Compared("device", waits, own, max(updates.values()))


def _with_own(rank: Rank, compared: _Compared) -> Rank:
    return replace(
        rank,
        communication_s=statistics.fmean(compared.waits[rank.rank]),
        own_s=statistics.fmean(compared.own[rank.rank]),
        slowest_without_s=_slowest([values for other, values in compared.own.items() if other != rank.rank]),
    )


def _communication(first: wire.WindowDone, windows: _Windows, compared: _Compared) -> Communication:
    sending = [min(values) for values in zip(*compared.waits.values(), strict=True)]
    mean = [statistics.fmean(values) for values in zip(*compared.waits.values(), strict=True)]
    return Communication(
        source=compared.source,
        update_s=compared.update_s,
        sending_s=statistics.fmean(sending),
        waiting_s=statistics.fmean(mean) - statistics.fmean(sending),
        slowest_s=_slowest(list(compared.own.values())),
        even_s=statistics.fmean(map(statistics.fmean, compared.own.values())),
        elements_imbalance=windows.elements_imbalance(),
        **_calls(first),
    )


def _runs_on_device(workload: Workload) -> bool:
    backend = workload.ranks.backend if workload.ranks is not None else ""
    return any(name in backend for name in OWN_COLLECTIVES)


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


def _slowest(own: Sequence[Sequence[float]]) -> float:
    return statistics.fmean(max(values) for values in zip(*own, strict=True))


def _extra_line(windows: _Windows, window: wire.WindowDone) -> dict[str, Any]:
    """Return the line that takes this rank most time beyond the mean of the others, where samples show it."""
    others = [_line_seconds(windows, other) for rank, other in windows.by_rank.items() if rank != window.rank]
    if not others:
        return {}
    more = {
        place: seconds - sum(other.get(place, 0.0) for other in others) / len(others)
        for place, seconds in _line_seconds(windows, window).items()
    }
    place = max(more, key=lambda one: more[one], default=None)
    return {"extra_line": place, "extra_line_s": more[place]} if place is not None and more[place] > 0 else {}


def _line_seconds(windows: _Windows, window: wire.WindowDone) -> dict[tuple[str, int, str], float]:
    """Return the seconds of an update that the sampler saw this rank at each line."""
    found: dict[tuple[str, int, str], float] = {}
    update_s = statistics.fmean(windows.last(window.wall_s))
    for line in window.lines if window.hits else ():
        place = (line.file, line.line, line.function)
        found[place] = found.get(place, 0.0) + line.hits / window.hits * update_s
    return found


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
        **_extra_line(windows, window),
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
